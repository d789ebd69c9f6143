"""Locks between processes that the kernel takes back when their owner dies."""

from __future__ import annotations

import fcntl
import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from jetson_detect.core.closing import Closing

L = TypeVar("L", bound="Lock")

_MODE = 0o644


def is_still(handle: int, path: Path) -> bool:
    """Say whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


class Lock(Closing):
    """A lock that a ``with`` block takes and gives back."""

    @abstractmethod
    def acquire(self) -> object:
        """Take the lock."""

    @abstractmethod
    def release(self) -> None:
        """Give the lock back; may be called twice."""

    def close(self) -> None:
        """Give the lock back, as :meth:`release` does."""
        self.release()

    def __enter__(self: L) -> L:
        """Take the lock; errors are those of :meth:`acquire`."""
        self.acquire()
        return self


class FileLock(Lock):
    """An exclusive lock on a file, which is made for it and removed with it.

    Children that inherit the file hold the lock as well, until they end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; return whether it was had.  Without ``wait`` it returns at once.

        Raises
        ------
        OSError
            If the file cannot be made.

        """
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                # Its last owner removes the file: a lock on one without a name locks nobody out.
                if is_still(handle, self._path):
                    self._handle, handle = handle, -1
                    return True
            except BlockingIOError:
                return False
            finally:
                if handle >= 0:
                    os.close(handle)

    def write(self, content: bytes) -> None:
        """Leave a note in the file for those who wait."""
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, content, 0)

    def fileno(self) -> int:
        """Return the descriptor, for a child that is to hold the lock as well; -1 without lock."""
        return self._handle

    def release(self) -> None:
        """Give the lock back; may be called twice."""
        if self._handle < 0:
            return
        handle, self._handle = self._handle, -1
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    @contextmanager
    def attempt(self) -> Iterator[bool]:
        """Take the lock for a ``with`` block if it is free, and say whether it was.

        Raises
        ------
        OSError
            If the file cannot be made.

        """
        had = self.acquire(wait=False)
        try:
            yield had
        finally:
            self.release()
