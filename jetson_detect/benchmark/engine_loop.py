"""TensorRT alone: what ``trtexec`` does with a plan, with and without the copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendError, BackendOptions
from jetson_detect.core.backends.tensorrt.cuda_graph import CudaGraph
from jetson_detect.core.backends.tensorrt.plan_tensors import PlanTensor, read_tensors
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import ModelFile
from jetson_detect.core.tensorrt_library.access import open_library
from jetson_detect.core.tensorrt_library.driver import CudaDriverError

if TYPE_CHECKING:
    import tensorrt as trt

_Place = tuple[TensorMemory, NDArray[Any]]


class EngineLoop(Closing):
    """Executes a plan on tensors that lie ready, one inference after the other.

    Neither names nor shapes are looked at, and nothing is checked: no backend can do less.  Each
    inference is waited for; it is replayed as a CUDA graph where that can be recorded, as with
    ``trtexec --useCudaGraph``.  Used by the thread that made it.
    """

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
            self._inputs = {each.name: self._place(each) for each in tensors if each.is_input}
            self._outputs = {each.name: self._place(each) for each in tensors if not each.is_input}
            self._lane = session.lane()
            # The first one initialises lazily, which cannot be recorded.
            self._run(self._execute)
            self._inference: CudaGraph | None = None
            try:
                self._inference = self._lane.record(self._execute)
            except (BackendError, CudaDriverError, session.gpu.cuda.Error):
                self._lane.settle()

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]:
        """What :meth:`copy_and_infer` brought back last, by name; zeros before."""
        return {name: array for name, (_, array) in self._outputs.items()}

    def infer(self) -> None:
        """Infer on what lies on the GPU, and wait for it.

        Raises
        ------
        BackendError
            If inference fails.

        """
        with self._session.in_context("inference failed"):
            self._run(self._launch)

    def copy_and_infer(self) -> None:
        """Copy all inputs to the GPU, infer, copy all outputs back, and wait for it.

        Raises
        ------
        BackendError
            If inference fails.

        """
        with self._session.in_context("inference failed"):
            self._run(self._launch_between_copies)

    def close(self) -> None:
        """Give everything back; may be called twice."""
        self._session.close()

    def _place(self, tensor: PlanTensor) -> _Place:
        """Make memory for a tensor and tell TensorRT where it is."""
        execution: trt.IExecutionContext = self._session.execution
        memory = self._session.memory(tensor.name)
        dtype = tensor.storage.stored
        size = dtype.itemsize
        for each in tensor.shape:
            size *= each
        memory.reserve(size)
        array = memory.array(tensor.shape, dtype)
        array.fill(0)
        if not execution.set_tensor_address(tensor.name, memory.address):
            raise BackendError(f"{self._path}: tensor '{tensor.name}' cannot be bound")
        return memory, array

    def _run(self, queue: Callable[[], None]) -> None:
        queue()
        self._lane.end()
        self._lane.wait()

    def _launch_between_copies(self) -> None:
        stream = self._lane.stream
        for memory, array in self._inputs.values():
            memory.to_device(array, stream)
        self._launch()
        for memory, array in self._outputs.values():
            memory.to_host(array, stream)

    def _launch(self) -> None:
        if self._inference is not None:
            self._inference.launch()
        else:
            self._execute()

    def _execute(self) -> None:
        execution: trt.IExecutionContext = self._session.execution
        if not execution.execute_async_v3(self._lane.stream.handle):
            raise BackendError(f"{self._path}: inference failed")
