"""Memory that NumPy writes and TensorFlow reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ALIGNMENT = 64
"""Bytes.  TensorFlow ends the process when a tensor is aligned less (EIGEN_MAX_ALIGN_BYTES)."""


class SharedMemory:
    """An array, and a ``tf.Tensor`` that lies in the same memory.

    TensorFlow takes tensors for constant, and may keep a copy of one on a GPU: for the CPU only,
    and to be written only while nothing runs.
    """

    def __init__(self, tf: Any, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Take memory.

        Raises
        ------
        Exception
            Whatever NumPy and TensorFlow raise where either does not know DLPack or the type.

        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw: NDArray[np.uint8] = np.empty(size + _ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % _ALIGNMENT
        self.array: NDArray[Any] = raw[start : start + size].view(dtype).reshape(shape)
        self.tensor = tf.experimental.dlpack.from_dlpack(self.array.__dlpack__())
