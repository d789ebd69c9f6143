"""Folders for what is being made, which do not outlive their makers for long."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jetson_detect.core.engines.file_lock import FileLock

_OWNER = "owner"
"""In each folder: locked by the process that works there."""


class WorkingFolders:
    """Makes folders, and removes those whose process was killed."""

    def __init__(self, folder: Path, guard: Callable[[], FileLock]) -> None:
        """Keep them in ``folder``; ``guard`` keeps making and removing apart."""
        self._folder = folder
        self._guard = guard

    @contextmanager
    def make(self, label: str) -> Iterator[Path]:
        """Make a folder for a ``with`` block and remove it, with all that is left in it, after.

        Raises
        ------
        OSError
            If it cannot be made.

        """
        with self._guard():
            path = Path(tempfile.mkdtemp(prefix=f"{label}-{os.getpid()}-", dir=self._folder))
            owner = FileLock(path / _OWNER)
            owner.acquire(wait=False)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            owner.release()

    def remove_abandoned(self) -> None:
        """Remove what processes left that were killed; what cannot be removed stays."""
        with self._guard():
            for path in self._folder.iterdir():
                # OSError: of another user, or removed meanwhile.
                with suppress(OSError), FileLock(path / _OWNER).attempt() as abandoned:
                    if abandoned:
                        shutil.rmtree(path, ignore_errors=True)
