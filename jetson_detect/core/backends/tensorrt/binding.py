"""A tensor of a plan, its memory, and the arrays that callers see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.tensorrt.dtypes import bfloat16_to_float32, float32_to_bfloat16
from jetson_detect.core.backends.tensorrt.plan_tensors import PlanTensor
from jetson_detect.core.backends.tensorrt.profiles import Shape
from jetson_detect.core.backends.tensorrt.source_format import address_of
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory


def _nothing() -> NDArray[Any]:
    return np.empty(0)


@dataclass(eq=False)
class Binding:
    """A tensor and its memory; the arrays are there once shapes are known."""

    tensor: PlanTensor
    memory: TensorMemory
    stored: NDArray[Any] = field(default_factory=_nothing)
    """The host's side of the memory."""
    real: NDArray[Any] = field(default_factory=_nothing)
    """What callers give or get: ``stored`` itself, or its conversion."""

    def reserve(self, shape: Shape) -> None:
        """See to memory for a shape, and make the arrays."""
        itemsize = self.tensor.storage.stored.itemsize
        self.memory.reserve(int(np.prod(shape, dtype=np.int64)) * itemsize)
        self.fit(shape)

    def fit(self, shape: Shape) -> None:
        """Make the arrays for a shape; the memory has to be large enough already."""
        storage = self.tensor.storage
        self.stored = self.memory.array(shape, storage.stored)
        if not storage.converted:
            self.real = self.stored
        elif self.real.shape != shape:
            self.real = np.empty(shape, storage.real)

    def fill(self, array: NDArray[Any]) -> None:
        """Take an input over; nothing to do if the caller filled our own memory."""
        if self.tensor.storage.converted:
            float32_to_bfloat16(array, self.stored)
        elif address_of(array) != address_of(self.stored):
            np.copyto(self.stored, array)

    def convert(self) -> None:
        """Bring an output that was copied to the host into the type that callers get."""
        if self.tensor.storage.converted:
            bfloat16_to_float32(self.stored, self.real)
