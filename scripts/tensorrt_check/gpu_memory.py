"""The GPU beside the backends: its context, and how much of its memory is free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from jetson_detect.core.backends import BackendUnavailableError
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

if TYPE_CHECKING:
    from jetson_detect.core.backends.tensorrt.gpu import Gpu

MEGABYTE = 1 << 20


@contextmanager
def hold_gpu(library: TensorrtLibrary) -> Iterator[Gpu]:
    """Hold the GPU's primary context beside the backends."""
    from jetson_detect.core.backends.tensorrt.gpu import Gpu

    gpu = Gpu(library.driver, 0)
    try:
        yield gpu
    finally:
        gpu.release()


@contextmanager
def current_context(library: TensorrtLibrary) -> Iterator[None]:
    """Make the GPU's context current; without pycuda TensorRT does so itself."""
    with ExitStack() as stack:
        with suppress(BackendUnavailableError):
            stack.enter_context(stack.enter_context(hold_gpu(library)).current())
        yield


def free_memory(gpu: Gpu) -> int:
    """Return how many bytes are free."""
    with gpu.current():
        return gpu.free_memory()


def take_memory(gpu: Gpu, left: int) -> list[Any]:
    """Allocate until only ``left`` bytes are free, in pieces that get smaller."""
    blocks = []
    with gpu.current():
        size = gpu.free_memory()
        while size >= MEGABYTE:
            if gpu.free_memory() - size < left:
                size //= 2
                continue
            try:
                blocks.append(gpu.cuda.mem_alloc(size))
            except gpu.cuda.MemoryError:
                size //= 2
    return blocks
