"""Which source pixels, with which weights, make the pixels of a resized picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import Interpolation

WEIGHT_BITS = 12
"""Of an entry's 32 bits, the lower ones, for a weight of 0 to 2048."""
FULL_WEIGHT = 2048
LARGEST_SOURCE = 1 << (32 - WEIGHT_BITS)
"""Pixels."""


def sampling_table(
    source: int, target: int, interpolation: Interpolation = Interpolation.LINEAR
) -> NDArray[np.uint32]:
    """Return, for one axis, where each pixel of a resized picture comes from.

    The coordinates, their rounding and the weights are those of ``cv2.resize`` for 8-bit pictures
    (OpenCV 4, modules/imgproc/src/resize.cpp): pixel centres for the linear interpolation, left
    edges for the nearest neighbour.

    Parameters
    ----------
    source, target:
        Pixels of the axis before and after; at least 1, and at most :data:`LARGEST_SOURCE`.
    interpolation:
        Linear or nearest.

    Returns
    -------
    (target,): the index of a source pixel, shifted by :data:`WEIGHT_BITS`, and the weight of the
    pixel behind it, of :data:`FULL_WEIGHT`, which is 0 wherever there is none.

    """
    scale = 1.0 / (target / source)
    places = np.arange(target, dtype=np.float64)
    if interpolation is Interpolation.NEAREST:
        index = np.minimum(np.floor(places * scale), source - 1)
        weight = np.zeros(target)
    else:
        center = ((places + 0.5) * scale - 0.5).astype(np.float32)
        index = np.floor(center)
        weight = np.rint((center - index) * FULL_WEIGHT)
        weight[(index < 0) | (index >= source - 1)] = 0
        index = np.clip(index, 0, source - 1)
    table: NDArray[np.uint32] = index.astype(np.uint32) << np.uint32(WEIGHT_BITS)
    table |= weight.astype(np.uint32)
    return table


def sources_of(table: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the source pixels that a table reads, in order, (N,)."""
    index, weight = table >> WEIGHT_BITS, table & ((1 << WEIGHT_BITS) - 1)
    return np.union1d(index, index[weight > 0] + 1).astype(np.intp)


def renumbered(table: NDArray[np.uint32], sources: NDArray[np.intp]) -> NDArray[np.uint32]:
    """Return a table for a picture of which only some rows, or columns, are left.

    Parameters
    ----------
    table:
        That of :func:`sampling_table` for the whole picture.
    sources:
        Those that are left: all of :func:`sources_of`.  Neighbours stay neighbours.

    """
    index = np.searchsorted(sources, table >> WEIGHT_BITS).astype(np.uint32)
    left: NDArray[np.uint32] = index << np.uint32(WEIGHT_BITS)
    left |= table & ((1 << WEIGHT_BITS) - 1)
    return left
