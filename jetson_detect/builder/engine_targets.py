"""Which engines are to be there: names of models inside trusted folders, times precisions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jetson_detect.core.model import MODEL_FILE, ModelError, Precision, load_model
from jetson_detect.share import share_folder


@dataclass(frozen=True)
class EngineTarget:
    """An engine that is to be there."""

    model: str
    """Name of the model's folder."""
    precision: Precision

    def __str__(self) -> str:
        return f"engine {self.precision.value} of model '{self.model}'"


def find_folder(model: str, folders: Sequence[str]) -> Path:
    """Return a model's folder, which lies right inside one of the folders that are trusted.

    A name may have come over the network; it is no path, and cannot lead out of these folders.

    Parameters
    ----------
    model:
        The name of a folder.
    folders:
        Where it may be, the first one first; none for the models that come with the package.

    Raises
    ------
    ValueError
        If it is no name, or there is no such model.

    """
    trusted = [Path(folder).expanduser().resolve() for folder in folders]
    trusted = trusted or [share_folder() / "models"]
    where = ", ".join(map(str, trusted))
    if model in ("", ".", "..") or any(character in model for character in "/\\\0"):
        raise ValueError(
            f"{model!r} is a path or empty: give the bare name of a folder inside {where} "
            "(model_folders)"
        )
    for folder in trusted:
        if (folder / model / MODEL_FILE).is_file():
            return folder / model
    there = sorted({path.parent.name for each in trusted for path in each.glob(f"*/{MODEL_FILE}")})
    raise ValueError(
        f"there is no model {model!r} in {where} (model_folders); "
        f"there are: {', '.join(there) or 'none'}"
    )


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a model's files do: their names, sizes and times of change.

    A file that is exchanged for one of another time is a change, whatever it holds.
    """
    return tuple(sorted(_stamps(folder)))


def _stamps(folder: Path) -> Iterator[tuple[str, int, int]]:
    paths = [folder / MODEL_FILE]
    with contextlib.suppress(ModelError):  # whoever builds from it says what is wrong with it
        paths += [file.path for file in load_model(folder).files]
    for path in paths:
        for file in (path, *path.rglob("*")):
            try:
                status = file.stat()
            except OSError:
                continue
            yield str(file), status.st_size, status.st_mtime_ns
