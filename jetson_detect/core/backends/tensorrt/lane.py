"""A stream of the GPU, and the events that say how far it has come."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from jetson_detect.core.backends.tensorrt.cuda_graph import CudaGraph
from jetson_detect.core.tensorrt_library.driver import CudaDriver

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: does not wait for the default stream, which other libraries use."""


class Lane:
    """Work that is done in order; all calls need the GPU's context to be current."""

    def __init__(self, cuda: ModuleType, driver: CudaDriver, *, spin: bool) -> None:
        """Make the stream; ``spin``: waiting for it keeps a CPU core busy."""
        self._cuda = cuda
        self._driver = driver
        self._graphs: list[CudaGraph] = []
        self._done: Any = None
        self._inferred: Any = None
        self.stream: Any = cuda.Stream(_NON_BLOCKING)
        flags = cuda.event_flags
        untimed = flags.DISABLE_TIMING
        self._done = cuda.Event(untimed if spin else untimed | flags.BLOCKING_SYNC)
        self._inferred = cuda.Event(untimed)
        self.handle = ctypes.c_void_p(self.stream.handle)
        """The stream, for the driver's own functions."""

    def end(self) -> None:
        """Mark the end of what was queued, for :meth:`wait`."""
        self._done.record(self.stream)

    def wait(self) -> None:
        """Wait for the last :meth:`end`; other threads run meanwhile."""
        self._done.synchronize()

    def end_inference(self) -> None:
        """Mark the end of an inference, for :meth:`follow`."""
        self._inferred.record(self.stream)

    def follow(self, other: Lane) -> None:
        """Let the GPU go on here only when the last inference of another lane has ended."""
        self.stream.wait_for_event(other._inferred)

    def record(self, enqueue: Callable[[], None]) -> CudaGraph:
        """Record a CUDA graph, freed with the lane; see :class:`CudaGraph` for errors."""
        graph = CudaGraph(self._driver, self.stream.handle, enqueue)
        self._graphs.append(graph)
        return graph

    def settle(self) -> None:
        """After a failure: let go of what may still be queued."""
        if self.stream is not None:
            with suppress(self._cuda.Error):
                self.stream.synchronize()

    def close(self) -> None:
        """Give everything back; may be called twice."""
        for graph in self._graphs:
            graph.close()
        self._graphs.clear()
        self._done = self._inferred = self.stream = None
