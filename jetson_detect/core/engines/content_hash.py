"""What a model's file holds, as one number: a changed file is another file, whatever its name."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from jetson_detect.core.engines.onnx_external_data import OnnxStructureError, external_data_files
from jetson_detect.core.engines.plain_json import digest
from jetson_detect.core.model import Format, ModelFile, ModelSpec

SOURCE_FORMATS = (Format.ONNX, Format.SAVED_MODEL, Format.FROZEN_GRAPH, Format.KERAS)
"""Formats from which an engine can be built; first what needs the least conversion."""

_logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_SETTLED_S = 2.0
"""A file that was changed more recently may change again within one tick of the clock that its
time stamps are taken from, and look the same."""


class ContentError(ValueError):
    """A model's file that cannot be read as a whole; the message names it and the remedy."""


class _Stamp(NamedTuple):
    """What changes when a file does."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Stamp:
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


_known: dict[tuple[str, _Stamp], str] = {}
_known_lock = threading.Lock()
_KNOWN_MOST = 4096


def content_sha256(file: ModelFile | Path) -> str:
    """Return the SHA-256, in hexadecimal, of all that a model's file consists of.

    For a file by itself it is what ``sha256sum`` prints.  A folder (SavedModel) counts with every
    file in it, by relative name and content.  An ONNX file counts with the files that its weights
    lie in.  Names and times of the file itself do not matter.  Files that have not changed since
    they were last asked for in this process are not read again.

    Args:
        file: a file or folder; ``.onnx`` tells an ONNX file where only a path is given.

    Raises
    ------
    ContentError
        If a file is missing, cannot be read, changes meanwhile, or is no ONNX file though it
        should be.

    """
    path = file.path if isinstance(file, ModelFile) else file
    is_onnx = file.format is Format.ONNX if isinstance(file, ModelFile) else path.suffix == ".onnx"
    try:
        if path.is_dir():
            return _folder_sha256(path)
        return _onnx_sha256(path) if is_onnx else file_sha256(path)
    except OSError as error:
        raise ContentError(
            f"{error.filename or path}: cannot be read ({error.strerror}); it is part of the "
            f"model's file {path}: copy it there again or correct 'files' in model.yaml"
        ) from error


def sources_by_hash(model: ModelSpec) -> dict[str, ModelFile]:
    """Return a model's files that an engine can be built from, by the hashes of their content.

    Files that are missing or cannot be read are left out; the latter are logged.  Of files with
    the same content the first in model.yaml stands for all.
    """
    sources: dict[str, ModelFile] = {}
    for file in model.files_for(SOURCE_FORMATS):
        if file.path.exists():
            try:
                sources.setdefault(content_sha256(file), file)
            except ContentError as error:
                _logger.warning("%s", error)
    return sources


def file_sha256(path: Path, fresh: bool = False) -> str:
    """Return the SHA-256, in hexadecimal, of a file's bytes.

    Args:
        path: the file.
        fresh: read it even if it seems not to have changed since it was last read.

    Raises
    ------
    OSError
        If it cannot be read.
    ContentError
        If it changes while it is read.

    """
    with path.open("rb", buffering=0) as file:
        stamp = _Stamp.of(os.fstat(file.fileno()))
        key = (str(path.absolute()), stamp)
        with _known_lock:
            known = _known.get(key)
        if known is not None and not fresh:
            return known
        hashed = hashlib.sha256()
        buffer = memoryview(bytearray(_CHUNK))
        while size := file.readinto(buffer):
            hashed.update(buffer[:size])
        if _Stamp.of(os.fstat(file.fileno())) != stamp:
            raise ContentError(f"{path}: changes while it is read; wait until it is written")
    if abs(time.time() - max(stamp.modified_ns, stamp.changed_ns) / 1e9) > _SETTLED_S:
        with _known_lock:
            if len(_known) >= _KNOWN_MOST:
                _known.clear()
            _known[key] = hashed.hexdigest()
    return hashed.hexdigest()


def _folder_sha256(folder: Path) -> str:
    files = sorted(_files_in(folder, (folder.resolve(),)))
    if not files:
        raise ContentError(f"{folder}: is an empty folder; copy the model's files there again")
    return digest([[name, file_sha256(folder / name)] for name in files])


def _files_in(folder: Path, above: tuple[Path, ...], prefix: str = "") -> Iterator[str]:
    """Yield the relative names of all files; links are followed, but not in circles."""
    for item in folder.iterdir():
        name = f"{prefix}{item.name}"
        if not item.is_dir():
            yield name
            continue
        inside = item.resolve()
        if inside in above:
            raise ContentError(f"{item}: is a link to a folder that it lies in; remove it")
        yield from _files_in(item, (*above, inside), f"{name}/")


def _onnx_sha256(path: Path) -> str:
    try:
        locations = external_data_files(path)
    except OnnxStructureError as error:
        raise ContentError(str(error)) from error
    own = file_sha256(path)
    if not locations:
        return own
    parts = [["", own]]
    for location in locations:
        relative = PurePosixPath(location)
        if not location or relative.is_absolute() or ".." in relative.parts:
            raise ContentError(
                f"{path}: keeps weights in '{location}', which is not beside it; export it again "
                "with its weights in a file of the same folder"
            )
        parts.append([location, file_sha256(path.parent / relative)])
    return digest(parts)
