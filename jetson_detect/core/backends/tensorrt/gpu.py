"""One GPU as the thread that infers on it sees it: its context, its memory, its identity."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import Any

from jetson_detect.core.backends.base import BackendError, BackendUnavailableError
from jetson_detect.core.tensorrt_library.driver import CudaDriver, CudaDriverError

_logger = logging.getLogger(__name__)

MEGABYTE = 1 << 20
_COHERENT_SINCE = (7, 2)
"""Compute capability of the first Tegra chip (Xavier) whose caches see what the GPU writes.

"CUDA for Tegra", chapter "Memory Types": pinned host memory is cached by the CPU there, and
uncached, thus slow to read, on the chips before.
"""


class MemoryMode(str, Enum):
    """How tensors travel between CPU and GPU."""

    PINNED = "pinned"
    """Page-locked host memory, copied from and to the GPU's own."""
    ZERO_COPY = "zero-copy"
    """One memory that both read and write."""


class Gpu:
    """A GPU's primary context, held by the thread that made this object.

    The primary context is the one that TensorRT, TensorFlow and ONNX Runtime share, so memory and
    streams of all of them fit together.

    It is on the thread's context stack for the time of :meth:`current` only.  pycuda ends the whole
    process when a thread ends with a context on its stack, and it can take contexts away in the
    reverse order only; like this a backend may be forgotten, and of two the older may go first.
    """

    def __init__(self, driver: CudaDriver, index: int) -> None:
        """Take the context.

        Raises
        ------
        BackendUnavailableError
            If pycuda is missing or there is no GPU of this index.
        BackendError
            If the context cannot be made, as when the GPU's memory is used up.

        """
        if not 0 <= index < driver.device_count:
            raise BackendUnavailableError(
                f"tensorrt.device: there is no GPU {index}; this machine has "
                f"{driver.device_count}, counted from 0"
            )
        try:
            self.cuda: ModuleType = import_module("pycuda.driver")
        except (ImportError, OSError) as error:
            raise BackendUnavailableError(
                f"pycuda cannot be imported ({error}): pip install pycuda (it is compiled there: "
                "nvcc has to be on the PATH)"
            ) from error
        self._driver = driver
        self._thread = threading.current_thread()
        self._context: Any = None
        cuda = self.cuda
        try:
            cuda.init()
            device = cuda.Device(index)
            self.name = f"{device.name()} (GPU {index})" if index else str(device.name())
            self.compute_capability: tuple[int, int] = device.compute_capability()
            shared = all(
                device.get_attribute(attribute)
                for attribute in (
                    cuda.device_attribute.INTEGRATED,
                    cuda.device_attribute.CAN_MAP_HOST_MEMORY,
                )
            )
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise BackendError(
                f"GPU {index} cannot be used ({error}): see in nvidia-smi whether another process "
                "holds its memory"
            ) from error
        coherent = shared and self.compute_capability >= _COHERENT_SINCE
        self.memory_mode = MemoryMode.ZERO_COPY if coherent else MemoryMode.PINNED

    @property
    def is_held(self) -> bool:
        """Whether the context was not released yet."""
        return self._context is not None

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread is the one that may use the context."""
        return self._thread is threading.current_thread()

    def require_mine(self) -> None:
        """Raise a BackendError in any other thread than the one that may use the context."""
        if not self.is_mine:
            raise BackendError(
                f"the tensorrt backend belongs to thread '{self._thread.name}' and was used by "
                f"'{threading.current_thread().name}': load, run and close it in one thread"
            )

    def free_memory(self) -> int:
        """Return the free bytes; the context must be current."""
        free, _ = self.cuda.mem_get_info()
        return int(free)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Put the context on the thread's stack for a ``with`` block.

        Raises
        ------
        BackendError
            If another thread made this object, or the GPU failed for good.

        """
        self.require_mine()
        if self._context is None:
            raise BackendError(
                "the GPU has failed and its context is lost: load the plan again, and if that does "
                "not help start the process again"
            )
        self._context.push()
        try:
            yield
        finally:
            try:
                self.cuda.Context.pop()
            except self.cuda.Error as error:
                # Only a GPU that has failed refuses this.  Detaching takes the context off
                # pycuda's stack too, which else would end the process.
                _logger.warning("the GPU's context could not be taken back: %s", error)
                self.release()

    def release(self) -> None:
        """Give the context up; what was made in it must be gone.  May be called twice."""
        context, self._context = self._context, None
        if context is None:
            return
        before = self._on_top()
        try:
            context.detach()
        except self.cuda.Error as error:
            _logger.warning("the GPU's context was not released cleanly: %s", error)
        # cuDevicePrimaryCtxRelease, other than the cuCtxDetach that pycuda's detach() was written
        # for, leaves the released context on the stack, where the next library would find it.
        if self._on_top() != before:
            try:
                self._driver.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
            except CudaDriverError as error:
                _logger.warning("the GPU's context stayed current: %s", error)

    def _on_top(self) -> int | None:
        """Return the handle of the current context; 0 without one, None if CUDA cannot tell."""
        handle = ctypes.c_void_p()
        try:
            self._driver.call("cuCtxGetCurrent", ctypes.byref(handle))
        except CudaDriverError:
            return None
        return handle.value or 0


def in_megabytes(size: int) -> str:
    """Write a number of bytes as megabytes, with a decimal where it is small."""
    megabytes = size / MEGABYTE
    return f"{megabytes:.1f} MB" if megabytes < 10 else f"{megabytes:.0f} MB"
