"""Everything on the GPU that one backend holds: taken in order, given back in reverse."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.backends.base import BackendError, TensorrtOptions
from jetson_detect.core.backends.tensorrt.gpu import Gpu, MemoryMode, in_megabytes
from jetson_detect.core.backends.tensorrt.lane import Lane
from jetson_detect.core.backends.tensorrt.letterbox_kernel import LetterboxKernel
from jetson_detect.core.backends.tensorrt.page_locks import PageLocks
from jetson_detect.core.backends.tensorrt.plugins import load_plugins
from jetson_detect.core.backends.tensorrt.sieve_kernel import SieveKernel
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary
from jetson_detect.core.tensorrt_library.driver import CudaDriverError

if TYPE_CHECKING:
    import tensorrt as trt

_logger = logging.getLogger(__name__)

_OUT_OF_MEMORY = "out of memory"
"""What TensorRT and CUDA both call it."""


class Session:
    """A plan on a GPU, ready to execute; used by the thread that made it."""

    engine: trt.ICudaEngine
    execution: trt.IExecutionContext
    _runtime: trt.Runtime

    def __init__(self, library: TensorrtLibrary, options: TensorrtOptions, path: Path) -> None:
        """Load a plan.

        Raises
        ------
        BackendError
            If the plan cannot be read or loaded, or the GPU's memory is used up.

        """
        plan = _read(path)
        self.library = library
        self._path = path
        # Complete before anything can fail: close() works from any state.
        self._runtime = self.engine = self.execution = None
        self._spin = options.spin
        self._lanes: list[Lane] = []
        self._memories: list[TensorMemory] = []
        self._letterbox: LetterboxKernel | None = None
        self._sieve: SieveKernel | None = None
        self.page_locks = PageLocks(library.driver)
        """Memory of others that the GPU may read."""
        self._closed = False
        self.gpu = Gpu(library.driver, options.device)
        with self.closed_on_failure(), self.in_context("cannot be loaded"):
            self._open(plan, options)

    @contextmanager
    def in_context(self, failure: str) -> Iterator[None]:
        """Make the GPU's context current for a ``with`` block, and its errors ours.

        Raises
        ------
        BackendError
            ``path: failure: …`` for an error of the GPU.

        """
        cuda = self.gpu.cuda
        try:
            with self.gpu.current():
                yield
        except BaseException as error:
            _forget_locals(error)
            if isinstance(error, cuda.MemoryError):
                raise BackendError(
                    f"{self._path}: {failure}: the GPU's memory is used up ({error}); "
                    "close what else uses it"
                ) from error
            if isinstance(error, (cuda.Error, CudaDriverError)):
                raise BackendError(
                    f"{self._path}: {failure}: {error}; load it again, and if the GPU stays broken "
                    "(see dmesg for NVRM Xid) start the process again"
                ) from error
            raise

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Close when a ``with`` block raises."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether all was given back."""
        return self._closed

    def require_open(self) -> None:
        """Raise a BackendError after :meth:`close`."""
        if self._closed:
            raise BackendError(f"{self._path}: the tensorrt backend was closed")

    def memory(self, name: str, mode: MemoryMode | None = None) -> TensorMemory:
        """Return memory for a tensor, freed with the session; see :class:`TensorMemory`."""
        memory = TensorMemory(self.gpu, name, mode)
        self._memories.append(memory)
        return memory

    def lane(self) -> Lane:
        """Return a new lane, closed with the session."""
        lane = Lane(self.gpu.cuda, self.library.driver, spin=self._spin)
        self._lanes.append(lane)
        return lane

    @property
    def letterbox(self) -> LetterboxKernel:
        """The kernel that makes tensors of pictures, loaded when it is first asked for.

        Raises
        ------
        CudaDriverError
            If the driver cannot translate it.

        """
        if self._letterbox is None:
            self._letterbox = LetterboxKernel(self.library.driver)
        return self._letterbox

    @property
    def sieve(self) -> SieveKernel:
        """The kernel that tells candidates apart, loaded when it is first asked for.

        Raises
        ------
        CudaDriverError
            If the driver cannot translate it.

        """
        if self._sieve is None:
            self._sieve = SieveKernel(self.library.driver)
        return self._sieve

    def close(self) -> None:
        """Give everything back; may be called twice, and after the GPU has failed.

        Raises
        ------
        BackendError
            If another thread than the session's calls it.

        """
        if self._closed:
            return
        self.gpu.require_mine()
        self._closed = True
        if self.gpu.is_held:
            try:
                with self.gpu.current():
                    self._give_back()
            except self.gpu.cuda.Error as error:
                _logger.warning("%s: the GPU has failed: %s", self._path, error)
        # Again, for a GPU that has failed: nothing must keep what is left of it.
        self._give_back()
        self.gpu.release()

    def close_if_mine(self) -> None:
        """Close a session that was forgotten; in another thread than its own that is impossible."""
        if self.gpu.is_mine:
            self.close()

    def _open(self, plan: bytes, options: TensorrtOptions) -> None:
        trt, features = self.library.trt, self.library.features
        mark = self.library.errors.mark()
        try:
            self._runtime = trt.Runtime(self.library.logger)
        except TypeError as error:
            # What pybind11 makes of a null pointer.
            raise BackendError(
                f"{self._path}: {self.library} does not start "
                f"({self.library.errors.since(mark)}): see that its version fits the driver "
                f"(CUDA {self.library.driver.cuda_version})"
            ) from error
        if features.engine_host_code_allowed:
            # A version compatible plan brings its own runtime, which is code.  A plan comes from
            # the same folder as this program's other files and is trusted like them.
            self._runtime.engine_host_code_allowed = True
        if options.dla_core >= 0:
            cores = self._runtime.num_DLA_cores
            if options.dla_core >= cores:
                raise BackendError(
                    f"tensorrt.dla_core: there is no DLA core {options.dla_core}; this machine has "
                    f"{cores}, counted from 0: choose one of them, or -1 and a plan for the GPU"
                )
            self._runtime.DLA_core = options.dla_core
        load_plugins(self.library, self._runtime, options.plugin_libraries)
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            reason = self.library.errors.since(mark)
            if _OUT_OF_MEMORY in reason.lower():
                remedy = "close what else uses the GPU, or take a smaller model"
            else:
                remedy = (
                    "a plan runs only with the version of TensorRT and on the kind of GPU that it "
                    "was built with: build it again on this machine from the ONNX file"
                )
            raise BackendError(
                f"{self._path}: {self.library} cannot load this plan on {self.gpu.name} "
                f"({reason}); plan {in_megabytes(len(plan))}, free "
                f"{in_megabytes(self.gpu.free_memory())}; {remedy}"
            )
        self.execution = self.engine.create_execution_context()
        if self.execution is None:
            raise BackendError(
                f"{self._path}: {self.library} cannot make an execution context "
                f"({self.library.errors.since(mark)}); it needs "
                f"{in_megabytes(self.device_memory())}, free are "
                f"{in_megabytes(self.gpu.free_memory())}: close what else uses the GPU, or build "
                "the plan for a smaller input or with a smaller workspace"
            )

    def device_memory(self) -> int:
        """Return the bytes that an inference needs besides weights, inputs and outputs."""
        features = self.library.features
        if features.device_memory_size_v2:
            return int(self.engine.device_memory_size_v2)
        return int(self.engine.device_memory_size)

    def _give_back(self) -> None:
        for lane in self._lanes:
            lane.settle()
        for lane in self._lanes:
            lane.close()
        for kernel in (self._letterbox, self._sieve):
            if kernel is not None:
                kernel.close()
        self.page_locks.close()
        self.execution = None
        self.engine = None
        self._runtime = None
        for memory in self._memories:
            memory.free()


def _read(path: Path) -> bytes:
    """Read a plan; what is wrong with it as a file is said here, for TensorRT says it badly."""
    remedy = "correct 'files' in model.yaml, or build the plan on this machine"
    try:
        plan = path.read_bytes()
    except FileNotFoundError as error:
        raise BackendError(f"{path}: no such file; {remedy}") from error
    except OSError as error:
        raise BackendError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    if not plan:
        raise BackendError(f"{path}: the file is empty; {remedy}")
    return plan


def _forget_locals(error: BaseException | None) -> None:
    """Clear the finished frames that an error and its causes keep.

    Their variables would keep objects of TensorRT and CUDA alive past their context, for as long as
    somebody handles the error.  Its ``__context__`` may be the caller's, and is left alone.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__
