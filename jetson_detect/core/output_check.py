"""Whether what a backend returns can be believed."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendError, TensorInfo

_HALF_INFINITY = 0x7C00
"""The bits of half-precision infinity; those of NaNs follow."""
_HALF_MINUS_INFINITY = 0xFC00


class OutputCheck:
    """Checks one output of a network for each frame, in one pass that writes nothing."""

    def __init__(self, info: TensorInfo) -> None:
        """Prepare for an output with this description."""
        self._info = info

    def __call__(self, array: NDArray[Any]) -> None:
        """Check a frame's output.

        Raises
        ------
        BackendError
            If it has another shape than was described, or numbers that are not finite.

        """
        expected = self._info.shape
        # () stands for an output whose shape the file does not tell at all.
        if expected and (
            len(array.shape) != len(expected)
            or any(wanted not in (size, None) for size, wanted in zip(array.shape, expected))
        ):
            raise BackendError(
                f"output '{self._info.name}' has shape {array.shape}, not {expected} as described"
            )
        if array.dtype.kind == "f" and array.size and not _is_finite(array):
            count = int(np.size(array) - np.isfinite(array).sum())
            raise BackendError(
                f"output '{self._info.name}' has {count} of {array.size} numbers "
                "that are not finite"
            )


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether all numbers are, of which there is at least one."""
    if array.dtype == np.float16:
        # Twenty times as fast as isfinite, which converts each half to a float.  What is not
        # finite has the largest bits, as signed integers among those of positive numbers and as
        # unsigned ones among those of negative numbers.
        return bool(
            array.view(np.int16).max() < _HALF_INFINITY
            and array.view(np.uint16).max() < _HALF_MINUS_INFINITY
        )
    # A sum is finite only if each of its terms is; where it overflows they are looked at.
    if (
        array.dtype in (np.float32, np.float64)
        and array.flags.c_contiguous
        and math.isfinite(cv2.sumElems(array.reshape(1, -1))[0])
    ):
        return True
    return bool(np.isfinite(array).all())
