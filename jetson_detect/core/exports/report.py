"""What an export tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExportReport:
    """A file that was written."""

    path: Path
    """The file, or the SavedModel folder."""
    changes: tuple[str, ...] = ()
    """Sentences on what is different from the source's network, but for its format."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What was measured and counted; JSON can hold it.

    ``tensors`` is there where a tensor could not keep its name: the new name by the source's.
    """


def size_on_disk(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
