"""Where engines are kept, and whether that place can be trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "JETSON_DETECT_CACHE"
"""The environment variable that names this package's cache folder."""


class CacheError(RuntimeError):
    """A cache that cannot be used; the message names the folder or file and the remedy."""


def default_cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where engines are kept if nothing else is said.

    ``$JETSON_DETECT_CACHE/engines``, or else ``$XDG_CACHE_HOME/jetson_detect/engines``, or else
    ``~/.cache/jetson_detect/engines``.

    Raises
    ------
    CacheError
        If there is neither a variable nor a home.

    """
    if named := environment.get(VARIABLE):
        return Path(named).expanduser().absolute() / "engines"
    # A relative one is to be ignored: XDG Base Directory Specification 0.8.
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError as error:
            raise CacheError(
                f"there is no home folder to keep engines in; set {VARIABLE} to a folder"
            ) from error
    return base / "jetson_detect" / "engines"


def require_trusted(path: Path) -> None:
    """Check that nobody but this user and root can have written a folder or file.

    TensorRT runs what a plan says: whoever can write one can run code as this user.

    Raises
    ------
    CacheError
        If somebody else could have.
    OSError
        If it cannot be asked.

    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CacheError(f"{path}: is a link; an engine is loaded only from where it was stored")
    if status.st_uid not in (os.geteuid(), 0):
        raise CacheError(
            f"{path}: belongs to user {status.st_uid}, not to user {os.geteuid()} or root, and "
            f"engines are code: chown it, or set {VARIABLE} to a folder of your own"
        )
    if status.st_mode & stat.S_IWOTH:
        raise CacheError(
            f"{path}: everybody may write there (mode {stat.S_IMODE(status.st_mode):o}), and "
            f"engines are code: chmod o-w it after a look at what it holds"
        )
