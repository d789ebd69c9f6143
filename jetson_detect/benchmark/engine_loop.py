"""TensorRT alone: what ``trtexec`` does with a plan, with and without the copies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendError, BackendOptions
from jetson_detect.core.backends.tensorrt.frame_slot import FrameSlot
from jetson_detect.core.backends.tensorrt.plan_tensors import PlanTensor, read_tensors
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import ModelFile
from jetson_detect.core.tensorrt_library.access import open_library
from jetson_detect.core.tensorrt_library.driver import CudaDriverError

if TYPE_CHECKING:
    import tensorrt as trt


class EngineLoop(Closing):
    """Executes a plan on tensors that lie ready.

    Neither names nor shapes are looked at, and nothing is checked: no backend can do less.  An
    inference is replayed as a CUDA graph where that can be recorded, as with
    ``trtexec --useCudaGraph``.  Used by the thread that made it.
    """

    DEPTH = 2
    """How many inferences may be started and not finished: as in ``trtexec``, the copies of one
    then overlap the inference of the other."""

    def __init__(self, file: ModelFile, options: BackendOptions) -> None:
        """Load a plan with fixed shapes.

        Raises
        ------
        BackendError
            If it cannot be loaded or run, or leaves shapes open.

        """
        library = open_library(options.tensorrt.runtime)
        self._path = file.path
        self._session = session = Session(library, options.tensorrt, file.path)
        with session.closed_on_failure(), session.in_context("cannot be loaded"):
            tensors = read_tensors(library, session.engine, file.path)
            open_ones = [tensor.name for tensor in tensors if tensor.is_open]
            if open_ones:
                raise BackendError(
                    f"{file.path}: the shape of {', '.join(open_ones)} is open; the loop needs a "
                    "plan with one shape"
                )
            self._slots = deque(self._make_slot(tensors) for _ in range(self.DEPTH))
            """The next one first."""
            self._started: deque[FrameSlot] = deque()

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]:
        """What the last inference with copies that began brought back; zeros before."""
        return {name: binding.stored for name, binding in self._slots[-1].outputs.items()}

    def infer(self) -> None:
        """Infer on what lies on the GPU, and wait for it.

        Raises
        ------
        BackendError
            If inference fails.

        """
        with self._session.in_context("inference failed"):
            slot = self._slots[0]
            self._run(slot, partial(self._launch, slot))

    def copy_and_infer(self) -> None:
        """Copy all inputs to the GPU, infer, copy all outputs back, and wait for it.

        Raises
        ------
        BackendError
            If inference fails.

        """
        self.start()
        self.finish()

    def start(self) -> None:
        """Begin with :meth:`copy_and_infer`; at most :attr:`DEPTH` may be unfinished.

        Raises
        ------
        BackendError
            If inference fails.

        """
        with self._session.in_context("inference failed"):
            slot, last = self._slots[0], self._slots[-1]
            self._slots.rotate(-1)
            slot.copy_in()
            slot.lane.follow(last.lane)  # they share the memory between layers
            self._launch(slot)
            slot.lane.end_inference()
            slot.copy_out()
            slot.lane.end()
            self._started.append(slot)

    def finish(self) -> None:
        """Wait for the oldest inference that was started.

        Raises
        ------
        BackendError
            If inference fails.

        """
        with self._session.in_context("inference failed"):
            self._started.popleft().wait()

    def close(self) -> None:
        """Give everything back; may be called twice."""
        self._session.close()

    def _make_slot(self, tensors: tuple[PlanTensor, ...]) -> FrameSlot:
        """Make memory, and record an inference on it."""
        slot = FrameSlot(self._session, tensors)
        for binding in (*slot.inputs.values(), *slot.outputs.values()):
            binding.reserve(binding.tensor.shape)
            binding.stored.fill(0)
        # The first one initialises lazily, which cannot be recorded.
        self._run(slot, partial(self._launch, slot))
        try:
            slot.inference = slot.lane.record(partial(self._execute, slot))
        except (BackendError, CudaDriverError, self._session.gpu.cuda.Error):
            slot.lane.settle()
        return slot

    def _run(self, slot: FrameSlot, queue: Callable[[], None]) -> None:
        queue()
        slot.lane.end()
        slot.wait()

    def _launch(self, slot: FrameSlot) -> None:
        if slot.inference is not None:
            slot.inference.launch()
            return
        execution: trt.IExecutionContext = self._session.execution
        for name, binding in (*slot.inputs.items(), *slot.outputs.items()):
            if not execution.set_tensor_address(name, binding.memory.address):
                raise BackendError(f"{self._path}: tensor '{name}' cannot be bound")
        self._execute(slot)

    def _execute(self, slot: FrameSlot) -> None:
        execution: trt.IExecutionContext = self._session.execution
        if not execution.execute_async_v3(slot.lane.stream.handle):
            raise BackendError(f"{self._path}: inference failed")
