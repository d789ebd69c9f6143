"""How TensorRT's data types are stored in NumPy arrays.

A table of our own: ``tensorrt.nptype`` of 8.5 fails for every type with NumPy 1.24 and newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.tensorrt_library.features import Features

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class Storage:
    """One of TensorRT's types."""

    stored: np.dtype[Any]
    """What lies in memory."""
    real: np.dtype[Any]
    """What callers give and get."""

    @property
    def converted(self) -> bool:
        """Whether tensors have to be converted because NumPy lacks the type."""
        return self.stored != self.real


def storage_table(trt: ModuleType, features: Features) -> Mapping[trt.DataType, Storage]:
    """Return the types that a network's inputs and outputs may have."""

    def same(dtype: type[np.generic]) -> Storage:
        return Storage(np.dtype(dtype), np.dtype(dtype))

    table = {
        trt.DataType.FLOAT: same(np.float32),
        trt.DataType.HALF: same(np.float16),
        trt.DataType.INT32: same(np.int32),
        trt.DataType.INT8: same(np.int8),
        trt.DataType.UINT8: same(np.uint8),
        trt.DataType.BOOL: same(np.bool_),
    }
    if features.int64_tensors:
        table[trt.DataType.INT64] = same(np.int64)
    if features.bf16_tensors:
        table[trt.DataType.BF16] = Storage(np.dtype(np.uint16), np.dtype(np.float32))
    return table


def bfloat16_to_float32(stored: NDArray[np.uint16], real: NDArray[np.float32]) -> None:
    """Convert in place; both of one shape.  bfloat16 is the upper half of a float32."""
    np.left_shift(stored, 16, out=real.view(np.uint32), dtype=np.uint32)


def float32_to_bfloat16(real: NDArray[np.float32], stored: NDArray[np.uint16]) -> None:
    """Convert in place, to the nearest, halves to even; both of one shape.

    A NaN stays one: rounding could carry its last bit into the sign.
    """
    bits = np.ascontiguousarray(real).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    stored[...] = np.where(np.isnan(real), (bits >> 16) | 0x40, rounded)
