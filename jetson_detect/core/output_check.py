"""Whether what a backend returns can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendError, TensorInfo

_HALF_EXPONENT = np.uint16(0x7C00)
"""The exponent bits of a half-precision number; all of them are set in infinity and NaN."""


class OutputCheck:
    """Checks one output of a network for each frame, without an allocation for each."""

    def __init__(self, info: TensorInfo) -> None:
        """Prepare for an output with this description."""
        self._info = info
        self._is_finite: NDArray[np.bool_] = np.empty(0, np.bool_)
        self._exponents: NDArray[np.uint16] = np.empty(0, np.uint16)

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
        if array.dtype.kind == "f" and not self._finite(array):
            count = int(np.size(array) - np.isfinite(array).sum())
            raise BackendError(
                f"output '{self._info.name}' has {count} of {array.size} numbers "
                "that are not finite"
            )

    def _finite(self, array: NDArray[Any]) -> bool:
        if array.dtype == np.float16:
            # Seven times as fast as isfinite, which converts each half to a float.
            if self._exponents.shape != array.shape:
                self._exponents = np.empty(array.shape, np.uint16)
            np.bitwise_and(array.view(np.uint16), _HALF_EXPONENT, out=self._exponents)
            return array.size == 0 or bool(self._exponents.max() < _HALF_EXPONENT)
        if self._is_finite.shape != array.shape:
            self._is_finite = np.empty(array.shape, np.bool_)
        return bool(np.isfinite(array, out=self._is_finite).all())
