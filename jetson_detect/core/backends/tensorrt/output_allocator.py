"""Outputs whose shape depends on the data: TensorRT asks for their memory while it infers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.tensorrt.profiles import Shape
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory
from jetson_detect.core.tensorrt_library.features import Features

if TYPE_CHECKING:
    import tensorrt as trt


class GrowingOutputs:
    """What the allocator grows and is told; TensorRT's side of it is :attr:`allocator`.

    TensorRT calls it inside ``execute_async_v3``, in the thread of the caller, and has told all
    shapes when that returns.
    """

    allocator: trt.IOutputAllocator

    def __init__(
        self, trt: ModuleType, features: Features, memories: Mapping[str, TensorMemory]
    ) -> None:
        self._memories = memories
        self.shapes: dict[str, Shape] = {}
        """The shapes of the last inference."""
        self.failure: BackendError | None = None
        """Why memory was refused, if it was: an exception cannot pass through TensorRT."""
        self.allocator = _allocator(trt, features, self)

    def reset(self) -> None:
        """Forget the last inference."""
        self.shapes.clear()
        self.failure = None

    def reserve(self, name: str, size: int) -> int:
        """Return the address of ``size`` bytes for an output; 0 if there are none."""
        memory = self._memories[name]
        try:
            memory.reserve(size)
            return memory.address
        except BackendError as error:
            self.failure = error
            return 0


def _allocator(trt: ModuleType, features: Features, outputs: GrowingOutputs) -> object:
    """Make the subclass that TensorRT wants, with the callback that its version calls."""

    class OutputAllocator(trt.IOutputAllocator):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)

        if features.reallocate_output_async:

            def reallocate_output_async(
                self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
            ) -> int:
                return outputs.reserve(tensor_name, size)

        if features.reallocate_output:

            def reallocate_output(
                self, tensor_name: str, memory: int, size: int, alignment: int
            ) -> int:
                return outputs.reserve(tensor_name, size)

        def notify_shape(self, tensor_name: str, shape: Sequence[int]) -> None:
            outputs.shapes[tensor_name] = tuple(int(size) for size in shape)

    return OutputAllocator()
