"""Which dimensions of an input are fixed before a network is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.exports.errors import ExportError

Shape = tuple[int | None, ...]
"""None for a dimension that stays open."""

BATCH_AXIS = "batch"
"""The name of the first dimension where it stays open."""


def fix_shapes(
    path: Path, inputs: Sequence[TensorInfo], batch: int | None, shapes: Mapping[str, Shape]
) -> dict[str, Shape]:
    """Return the shape of each input after its open dimensions were fixed.

    Parameters
    ----------
    path:
        Of the source, for errors.
    inputs:
        The network's.
    batch:
        For an open first dimension, of inputs that ``shapes`` does not name; None leaves it open.
    shapes:
        By input; None leaves a dimension as it is.

    Raises
    ------
    ExportError
        If there is no such input, or it has other dimensions.

    """
    names = [info.name for info in inputs]
    for name in shapes:
        if name not in names:
            raise ExportError(
                f"{path}: shapes: has no input '{name}', but {', '.join(names)}; name one of those"
            )
    return {
        info.name: _fix_one(path, info, shapes[info.name])
        if info.name in shapes
        else (batch if info.shape[0] is None else info.shape[0], *info.shape[1:])
        if info.shape
        else ()
        for info in inputs
    }


def axis_name(tensor: str, axis: int) -> str:
    """Return what an open dimension of an input is called."""
    return f"{tensor}_{axis}" if axis else BATCH_AXIS


def describe_fixed(inputs: Sequence[TensorInfo], shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """Say of each input what its shape was, and is now, where that differs."""
    return tuple(
        f"input '{info.name}' has the shape {_text(shapes[info.name])}, "
        f"which was {_text(info.shape)}"
        for info in inputs
        if shapes[info.name] != info.shape
    )


def _fix_one(path: Path, info: TensorInfo, wanted: Shape) -> Shape:
    fits = len(wanted) == len(info.shape) and all(
        new is None or (new > 0 and old in (None, new)) for new, old in zip(wanted, info.shape)
    )
    if not fits:
        raise ExportError(
            f"{path}: shapes: {_text(wanted)} does not fit input '{info.name}', which is "
            f"{_text(info.shape)}; give sizes for the dimensions that are open (?)"
        )
    return tuple(old if new is None else new for new, old in zip(wanted, info.shape))


def _text(shape: Shape) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"
