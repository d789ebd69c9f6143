"""All that one frame in flight has of its own: tensors' memory, pictures, a lane."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from numpy.typing import NDArray

from jetson_detect.core.backends.tensorrt.binding import Binding
from jetson_detect.core.backends.tensorrt.cuda_graph import CudaGraph
from jetson_detect.core.backends.tensorrt.lane import Lane
from jetson_detect.core.backends.tensorrt.picture_input import PictureInput
from jetson_detect.core.backends.tensorrt.plan_tensors import PlanTensor
from jetson_detect.core.backends.tensorrt.profiles import Shape
from jetson_detect.core.backends.tensorrt.session import Session


class FrameSlot:
    """A place for one frame, from its picture to its outputs."""

    def __init__(self, session: Session, tensors: tuple[PlanTensor, ...]) -> None:
        """Take a lane; memory is reserved once shapes are known."""
        self.lane: Lane = session.lane()
        bindings = [Binding(tensor, session.memory(tensor.name)) for tensor in tensors]
        self.inputs: dict[str, Binding] = {b.tensor.name: b for b in bindings if b.tensor.is_input}
        self.outputs: dict[str, Binding] = {
            b.tensor.name: b for b in bindings if not b.tensor.is_input
        }
        self.results: dict[str, NDArray[Any]] = {}
        """What callers get."""
        self.whole: CudaGraph | None = None
        """Copies of all tensors and the inference."""
        self.inference: CudaGraph | None = None
        """The inference alone."""
        self.staged: dict[str, list[PictureInput]] = {}
        """What has the pictures for the next inference, by the input's name."""
        self.sifted: tuple[float, int] | None = None
        """What candidates had to reach in the last inference, and how many pictures it had; None
        where all outputs were copied."""
        self.input_arrays: Mapping[str, NDArray[Any]] = {}
        """The page-locked arrays of inputs that callers may fill, of the largest batch."""
        self.shapes: Mapping[str, Shape] = {}
        """Of all tensors whose memory is reserved."""

    def reserve(self, shapes: Mapping[str, Shape]) -> bool:
        """See to memory for tensors of these shapes.

        Returns
        -------
        Whether addresses may have changed.

        """
        grown = False
        for bindings in (self.inputs, self.outputs):
            for name, binding in bindings.items():
                if name in shapes:
                    before = binding.memory.capacity
                    binding.reserve(shapes[name])
                    grown = grown or binding.memory.capacity != before
        self.results = {name: binding.real for name, binding in self.outputs.items()}
        self.shapes = shapes
        return grown

    def keep_inputs(self) -> None:
        """Let callers fill the inputs as they are now, until the end."""
        self.input_arrays = {
            name: binding.stored
            for name, binding in self.inputs.items()
            if not binding.tensor.storage.converted
        }

    def close(self) -> None:
        """Give lane and memory back before the session does; nothing may use the slot after it."""
        self.lane.settle()
        self.lane.close()
        for binding in (*self.inputs.values(), *self.outputs.values()):
            binding.memory.free()

    def copy_in(self, without: Container[str] = ()) -> None:
        """Queue the copies of inputs to the GPU, all but some."""
        for name, binding in self.inputs.items():
            if name not in without:
                binding.memory.to_device(binding.stored, self.lane.stream)

    def copy_out(self) -> None:
        """Queue the copies of outputs from the GPU."""
        for binding in self.outputs.values():
            binding.memory.to_host(binding.stored, self.lane.stream)

    def wait(self) -> None:
        """Wait for the outputs and convert those that NumPy has no type for."""
        self.lane.wait()
        for binding in self.outputs.values():
            binding.convert()
