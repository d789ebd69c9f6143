"""Files that a command leaves behind: there whole, or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path


class ResultFileError(Exception):
    """A file that cannot be written; the message names it and says what to do."""


def check_writable(file: Path) -> None:
    """Find out before the work, not after it.

    Raises
    ------
    ResultFileError
        If there is no such folder, or the file is one.

    """
    if not file.absolute().parent.is_dir():
        raise ResultFileError(f"{file}: its folder does not exist; make it first")
    if file.is_dir():
        raise ResultFileError(f"{file}: is a folder; name a file for the report")


def write_atomically(file: Path, text: str) -> None:
    """Put a text in place of whatever the file held.

    Raises
    ------
    ResultFileError
        If it cannot be written.

    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=file.absolute().parent, prefix=f".{file.name}.", delete=False, encoding="utf-8"
        ) as temporary:
            temporary.write(text)
        Path(temporary.name).chmod(0o644)
        Path(temporary.name).replace(file)
    except OSError as error:
        if temporary is not None:
            Path(temporary.name).unlink(missing_ok=True)
        raise ResultFileError(f"{file}: cannot be written: {error}") from error
