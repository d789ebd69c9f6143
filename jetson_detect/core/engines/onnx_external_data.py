"""The files in which an ONNX file keeps its weights.

Read from the file's structure alone, without the onnx package: a robot that only runs engines has
none, and it would read gigabytes of weights to learn a few names.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class OnnxStructureError(ValueError):
    """A file that is no ONNX file, or a damaged one."""


@dataclass
class _Message:
    """A message of protobuf: which of its fields hold messages that may hold a tensor."""

    fields: Mapping[int, _Message] = field(default_factory=dict)


# The numbers of onnx.proto3, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
_EXTERNAL_DATA = 13
_KEY, _VALUE = 1, 2
_TENSOR, _ATTRIBUTE, _GRAPH, _NODE = _Message(), _Message(), _Message(), _Message()
_SPARSE = _Message({1: _TENSOR, 2: _TENSOR})
_ATTRIBUTE.fields = {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE}
_NODE.fields = {5: _ATTRIBUTE}
_GRAPH.fields = {1: _NODE, 5: _TENSOR, 15: _SPARSE}
_FUNCTION = _Message({7: _NODE, 11: _ATTRIBUTE})
_TRAINING = _Message({1: _GRAPH, 2: _GRAPH})
_MODEL = _Message({7: _GRAPH, 20: _TRAINING, 25: _FUNCTION})

# https://protobuf.dev/programming-guides/encoding/
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10


def external_data_files(path: Path) -> tuple[str, ...]:
    """Return the locations that an ONNX file names, relative to its folder, sorted.

    Raises
    ------
    OnnxStructureError
        If the file's structure is not that of an ONNX file.
    OSError
        If it cannot be read.

    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise OnnxStructureError(f"{path}: is empty and no ONNX file; export it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                if not any(
                    _MODEL.fields.get(number) is _GRAPH
                    for number, _, _ in _length_fields(content, 0, len(content))
                ):
                    raise IndexError("no graph")
                return tuple(sorted(set(_locations(content, 0, len(content), _MODEL))))
            except (IndexError, UnicodeDecodeError) as error:
                raise OnnxStructureError(
                    f"{path}: is no ONNX file, or a damaged one; export it again"
                ) from error


def _locations(content: mmap.mmap, start: int, end: int, message: _Message) -> Iterator[str]:
    """Find the locations in a message and in those inside it."""
    for number, first, last in _length_fields(content, start, end):
        if message is _TENSOR:
            if number == _EXTERNAL_DATA:
                entry = {
                    part: content[begin:stop]
                    for part, begin, stop in _length_fields(content, first, last)
                }
                if entry.get(_KEY) == b"location":
                    yield entry.get(_VALUE, b"").decode("utf-8")
        elif number in message.fields:
            yield from _locations(content, first, last, message.fields[number])


def _length_fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of the fields that hold bytes; IndexError if there is no sense.

    Those fields alone can hold a message; the others are stepped over.
    """
    position = start
    while position < end:
        tag, position = _varint(content, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(content, position)
        elif kind == _EIGHT_BYTES:
            position += 8
        elif kind == _FOUR_BYTES:
            position += 4
        elif kind == _LENGTH:
            size, position = _varint(content, position)
            if position + size > end:
                raise IndexError(f"a field of {size} bytes at {position} ends beyond {end}")
            yield tag >> 3, position, position + size
            position += size
        else:
            raise IndexError(f"wire type {kind} at {position}")
    if position != end:
        raise IndexError(f"the last field ends at {position} and not at {end}")


def _varint(content: mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = content[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise IndexError(f"no varint at {position}")
