"""Memory that NumPy writes and TensorFlow reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ALIGNMENT = 64
"""Bytes.  TensorFlow ends the process when a tensor is aligned less (EIGEN_MAX_ALIGN_BYTES)."""


class SharedMemory:
    """An array, and a ``tf.Tensor`` that lies in the same memory: all of it, or its first pictures.

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
        self._address = self.array.__array_interface__["data"][0]
        self._tf = tf
        self._tensors: dict[int, tuple[NDArray[Any], Any]] = {}
        """By their length, the first pictures as NumPy's and as TensorFlow's."""
        self._share(shape[0] if shape else 0)

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits."""
        own = self.array.shape
        return shape == own or (
            len(shape) == len(own) > 0 and shape[1:] == own[1:] and shape[0] <= own[0]
        )

    def tensor_of(self, array: NDArray[Any]) -> Any:
        """Return a tensor with an array's values; those of :attr:`array` itself are not copied."""
        length = len(array) if array.shape else 0
        own, tensor = self._tensors.get(length) or self._share(length)
        if array.__array_interface__["data"][0] != self._address:
            np.copyto(own, array)
        return tensor

    def _share(self, length: int) -> tuple[NDArray[Any], Any]:
        own = self.array[:length] if self.array.shape else self.array
        tensor = self._tf.experimental.dlpack.from_dlpack(own.__dlpack__())
        self._tensors[length] = own, tensor
        return own, tensor
