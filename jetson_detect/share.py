"""Where this package's shared files are: launch files, configuration, models."""

from __future__ import annotations

from pathlib import Path

PACKAGE = "jetson_detect"


def share_folder() -> Path:
    """Return the folder that holds ``launch``, ``config`` and ``models``.

    Run from a checkout (or an editable install of one) that is the checkout itself, so that what
    is edited is what runs; else ``share/jetson_detect`` of the installed package.
    """
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "package.xml").is_file() and (checkout / "models").is_dir():
        return checkout
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory(PACKAGE))


def find_model(name: str) -> Path:
    """Return a model's folder: a path as it is, a bare name from this package's ``models``."""
    path = Path(name).expanduser()
    if path.exists() or len(path.parts) != 1:
        return path
    return share_folder() / "models" / name
