"""What each of a pixel's 256 values is for a network, and the quickest way to write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.model import InputSpec

Writer = Callable[[NDArray[np.uint8], NDArray[Any]], None]
"""Writes pixels, the first, as values, the second, of the same shape and in place."""

_BYTES = np.arange(256, dtype=np.uint8)

_LUT_TYPES = {np.dtype(np.float16): np.dtype(np.uint16)} | {
    np.dtype(kind): np.dtype(kind)
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64)
}
"""As what ``cv2.LUT`` moves values of a type in every OpenCV from 4.5 on."""


def value_tables(spec: InputSpec, tensor: TensorInfo) -> list[NDArray[Any]]:
    """Tabulate ``(pixel - mean) * scale``, quantised if the tensor is.

    Returns
    -------
    For each channel, in the network's order, (256,) in the tensor's dtype.

    """
    pixel = np.arange(256, dtype=np.float64)
    tables = []
    for mean, scale in zip(spec.mean, spec.scale):
        values = (pixel - mean) * scale
        if tensor.quantization is not None:
            values = values / tensor.quantization.scale + tensor.quantization.zero_point
        if np.issubdtype(tensor.dtype, np.integer):
            limits = np.iinfo(tensor.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        tables.append(values.astype(tensor.dtype))
    return tables


def channel_writer(table: NDArray[Any], mean: float, scale: float) -> Writer:
    """Find the quickest writer that gives what a table says, to the last bit.

    Parameters
    ----------
    table:
        (256,), of :func:`value_tables`.
    mean, scale:
        What it was made with.

    """
    if table.dtype.itemsize == 1:
        flipped = table.view(np.uint8) ^ _BYTES
        if (flipped == flipped[0]).all():
            return _byte_writer(flipped[0])
    elif table.dtype == np.float32 and scale != 0:
        for operation, factor in ((np.multiply, scale), (np.divide, 1 / scale)):
            writer = _affine_writer(np.float32(mean), operation, np.float32(factor))
            written = np.empty_like(table)
            writer(_BYTES, written)
            if np.array_equal(written, table):
                return writer
    return table_writer(table)


def table_writer(table: NDArray[Any]) -> Writer:
    """Make a writer that looks every pixel up.

    Parameters
    ----------
    table:
        (256,) for all channels, or (1, 256, C) for pixels of shape (..., C).

    """
    moved_as = _LUT_TYPES.get(table.dtype)
    if moved_as is None:
        return _numpy_writer(table)
    moved = table.view(moved_as)

    def write(pixels: NDArray[np.uint8], values: NDArray[Any]) -> None:
        target = values.view(moved_as)
        written = cv2.LUT(pixels, moved, dst=target)
        if written is not target:  # OpenCV takes a new array where it cannot use ours
            np.copyto(target, written.reshape(target.shape))

    return write


def _byte_writer(flipped: np.uint8) -> Writer:
    """Copy bytes with some bits flipped: 0x80 moves 0 to 255 to -128 to 127."""

    def write(pixels: NDArray[np.uint8], values: NDArray[Any]) -> None:
        if flipped:
            np.bitwise_xor(pixels, flipped, out=values.view(np.uint8))
        else:
            np.copyto(values.view(np.uint8), pixels)

    return write


def _affine_writer(mean: np.float32, operation: np.ufunc, factor: np.float32) -> Writer:
    """Compute in float32, a third quicker than looking up."""

    def write(pixels: NDArray[np.uint8], values: NDArray[Any]) -> None:
        # Without the dtype, NumPy below 2 computes bytes and a small factor in half precision.
        if mean:
            np.subtract(pixels, mean, out=values, dtype=np.float32)
            operation(values, factor, out=values)
        else:
            operation(pixels, factor, out=values, dtype=np.float32)

    return write


def _numpy_writer(table: NDArray[Any]) -> Writer:
    def write(pixels: NDArray[np.uint8], values: NDArray[Any]) -> None:
        if table.ndim == 1:
            np.take(table, pixels, out=values)
            return
        for channel in range(pixels.shape[2]):
            values[..., channel] = table[0, :, channel][pixels[..., channel]]

    return write
