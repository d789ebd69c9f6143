"""An inference recorded once as a CUDA graph and replayed with one call.

Through the driver itself: pycuda (2025.1) knows no graphs.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from contextlib import suppress

from jetson_detect.core.tensorrt_library.driver import CudaDriver, CudaDriverError

_logger = logging.getLogger(__name__)

_CAPTURE_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile, as another library that
allocates memory, does not spoil the recording."""


class CudaGraph:
    """A recorded inference; belongs to the stream that it was recorded on."""

    def __init__(self, driver: CudaDriver, stream_handle: int, enqueue: Callable[[], None]) -> None:
        """Record what ``enqueue`` puts on the stream; nothing of it is run.

        Raises
        ------
        CudaDriverError
            If the driver cannot record it.
        Exception
            Whatever ``enqueue`` raises.

        """
        self._driver = driver
        self._stream = ctypes.c_void_p(stream_handle)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        driver.call("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(_CAPTURE_THREAD_LOCAL))
        try:
            enqueue()
        except BaseException:
            # The stream must leave its recording mode whatever happened.
            with suppress(CudaDriverError):
                driver.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            self._destroy("cuGraphDestroy", graph)
            raise
        driver.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            driver.call(
                "cuGraphInstantiateWithFlags",
                ctypes.byref(self._executable),
                graph,
                ctypes.c_ulonglong(0),
            )
        finally:
            self._destroy("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Queue one inference.

        Raises
        ------
        CudaDriverError
            If it cannot be started.

        """
        self._driver.call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Give the recording back; may be called twice."""
        executable, self._executable = self._executable, ctypes.c_void_p()
        self._destroy("cuGraphExecDestroy", executable)

    def _destroy(self, function: str, handle: ctypes.c_void_p) -> None:
        if handle.value:
            try:
                self._driver.call(function, handle)
            except CudaDriverError as error:
                _logger.warning("a CUDA graph was not freed: %s", error)
