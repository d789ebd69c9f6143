"""A folder of engines, a folder each, that appear and go as a whole."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jetson_detect.core.engines.durable_files import sync_folder
from jetson_detect.core.engines.entry import last_used, unheld
from jetson_detect.core.engines.identity import KEY_LENGTH, EngineIdentity

_NAME = re.compile(rf"(?P<label>.+)-(?P<key>[0-9a-f]{{{KEY_LENGTH}}})-(?P<number>[0-9]{{1,9}})")
_UNSAFE = re.compile("[^A-Za-z0-9._]+")
_LONGEST_LABEL = 64


@dataclass(frozen=True)
class Place:
    """One engine's folder, whatever is in it."""

    path: Path
    label: str
    """Model and precision, in letters that any file system takes."""
    key: str
    number: int
    """Engines of one key are numbered as they come; the highest is the newest."""

    @property
    def last_used(self) -> float:
        """In seconds since the epoch."""
        return last_used(self.path)

    @property
    def size(self) -> int:
        """Of all its files, in bytes."""
        size = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with suppress(FileNotFoundError):  # removed meanwhile
                    size += (Path(folder) / name).lstat().st_size
        return size

    def take_away(self, bin_folder: Path) -> int | None:
        """Move it out, in one step, to where it is removed.

        Returns
        -------
        The bytes that it takes, or None if it stays because a process holds it.

        Raises
        ------
        OSError
            If it cannot be moved.

        """
        with unheld(self.path) as free:
            if not free:
                return None
            size = self.size
            self.path.rename(bin_folder / f"{self.path.parent.name}-{self.path.name}")
            return size


class Shelf:
    """Engines by key; never changes one in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def places(self, key: str | None = None) -> list[Place]:
        """Return the engines, newest first; of one key if given.  Other files are overlooked."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        places = [
            Place(self.folder / name, found["label"], found["key"], int(found["number"]))
            for name in names
            if (found := _NAME.fullmatch(name)) and key in (None, found["key"])
        ]
        return sorted(places, key=lambda place: (-place.number, place.label, place.key))

    def put(self, made: Path, identity: EngineIdentity) -> Place:
        """Take a finished folder, in one step, as the newest of its key.

        Raises
        ------
        OSError
            If it cannot be moved there.

        """
        same = self.places(identity.key)
        number = same[0].number + 1 if same else 1
        label = label_of(identity.model, identity.precision)
        path = self.folder / f"{label}-{identity.key}-{number}"
        made.rename(path)
        sync_folder(self.folder)
        return Place(path, label, identity.key, number)


def label_of(model: str, precision: str) -> str:
    """Return model and precision in letters that any file system takes."""
    return f"{_UNSAFE.sub('_', model)[:_LONGEST_LABEL].lstrip('.') or '_'}-{precision}"
