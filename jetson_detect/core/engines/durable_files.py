"""Files that are on the disk, and not only on their way there, when a function returns."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20
_MODE = 0o644


def write_durably(path: Path, content: BinaryIO | bytes) -> tuple[str, int]:
    """Write a new file and wait until it is on the disk.

    Returns
    -------
    The SHA-256, in hexadecimal, and the size of what was written, in bytes.

    Raises
    ------
    OSError
        If it cannot be written; ``ENOSPC`` with a full disk.

    """
    hashed, size = hashlib.sha256(), 0
    # With a mode of its own: open() leaves it to the umask, which may let everybody write.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(handle, "wb", buffering=0) as file:
        for chunk in _chunks(content):
            hashed.update(chunk)
            size += len(chunk)
            while len(chunk):
                chunk = chunk[file.write(chunk) :]
        os.fsync(handle)
    return hashed.hexdigest(), size


def replace_durably(path: Path, content: bytes) -> None:
    """Replace a file, or make it, in one step.

    Raises
    ------
    OSError
        If it cannot be written; the old one is left as it was.

    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_durably(fresh, content)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _chunks(content: BinaryIO | bytes) -> Iterator[memoryview]:
    if isinstance(content, bytes):
        view = memoryview(content)
        for start in range(0, len(view), _CHUNK):
            yield view[start : start + _CHUNK]
        return
    while chunk := content.read(_CHUNK):
        yield memoryview(chunk)
