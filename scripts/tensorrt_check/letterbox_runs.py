"""The letterbox kernel on the GPU by itself, without a plan."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends import TensorInfo
from jetson_detect.core.backends.tensorrt.dtypes import Storage
from jetson_detect.core.backends.tensorrt.lane import Lane
from jetson_detect.core.backends.tensorrt.letterbox_kernel import (
    LetterboxKernel,
    LetterboxTask,
    element_type_of,
)
from jetson_detect.core.backends.tensorrt.sampling import sampling_table
from jetson_detect.core.backends.tensorrt.source_format import PictureLayout
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import InputSpec
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

from .gpu_memory import hold_gpu

if TYPE_CHECKING:
    import pycuda.driver as cuda

    from jetson_detect.core.backends.tensorrt.gpu import Gpu


class LetterboxRun:
    """One picture and one tensor on the GPU; the context must be current."""

    def __init__(
        self,
        gpu: Gpu,
        library: TensorrtLibrary,
        raw: NDArray[np.uint8],
        layout: PictureLayout,
        spec: InputSpec,
        tensor: TensorInfo,
    ) -> None:
        """Take memory, upload the tables and the picture."""
        self._gpu = gpu
        self._lane = Lane(gpu.cuda, library.driver, spin=False)
        self._memories = [TensorMemory(gpu, name) for name in ("picture", "tables", "tensor")]
        picture, tables, result = self._memories
        transform = ImageTransform.fit(
            (layout.width, layout.height), (spec.width, spec.height), spec.resize, spec.alignment
        )
        columns = sampling_table(layout.width, transform.content_width, spec.interpolation)
        rows = sampling_table(layout.height, transform.content_height, spec.interpolation)
        entries = np.concatenate([columns, rows])
        for memory, array in ((picture, raw), (tables, entries)):
            memory.reserve(array.nbytes)
            memory.array(array.shape, array.dtype)[...] = array
            memory.to_device(memory.array(array.shape, array.dtype), self._lane.stream)
        self.picture = picture.array(raw.shape, raw.dtype)
        """The page-locked side of the picture."""
        shape = tuple(size or 1 for size in tensor.shape)
        result.reserve(int(np.prod(shape)) * tensor.dtype.itemsize)
        self._tensor = result.array(shape, tensor.dtype)
        element_type = element_type_of(Storage(tensor.dtype, tensor.dtype))
        assert element_type is not None
        self._task = task = LetterboxTask.for_input(spec, tensor, element_type)
        task.source, task.tensor = picture.address, result.address
        task.columns, task.rows = tables.address, tables.address + columns.nbytes
        task.fit(layout, transform)
        self._kernel = LetterboxKernel(library.driver)
        self._lane.settle()

    def launch(self) -> None:
        """Queue the kernel."""
        self._kernel.make(self._task, ctypes.c_void_p(self._lane.stream.handle))

    def upload(self) -> None:
        """Queue the copy of the picture."""
        self._memories[0].to_device(self.picture, self._lane.stream)

    def result(self) -> NDArray[Any]:
        """Run the kernel and return its tensor."""
        self._tensor.view(np.uint8).fill(0xFF)
        self.launch()
        self._memories[2].to_host(self._tensor, self._lane.stream)
        self._lane.end()
        self._lane.wait()
        found: NDArray[Any] = self._tensor.copy()
        return found

    def gpu_ms(self, step: str, count: int) -> float:
        """Return the GPU's time for one of ``count`` steps (``launch`` or ``upload``) in a row."""
        queue = getattr(self, step)
        queue()
        start: cuda.Event = self._gpu.cuda.Event()
        end: cuda.Event = self._gpu.cuda.Event()
        start.record(self._lane.stream)
        for _ in range(count):
            queue()
        end.record(self._lane.stream)
        end.synchronize()
        return float(start.time_till(end)) / count

    def close(self) -> None:
        """Give everything back."""
        self._lane.settle()
        self._kernel.close()
        for memory in self._memories:
            memory.free()
        self._lane.close()


@contextmanager
def letterbox_run(
    library: TensorrtLibrary,
    raw: NDArray[np.uint8],
    layout: PictureLayout,
    spec: InputSpec,
    tensor: TensorInfo,
) -> Iterator[LetterboxRun]:
    """Hold a picture and a tensor on the GPU for a ``with`` block."""
    with hold_gpu(library) as gpu, gpu.current():
        run = LetterboxRun(gpu, library, raw, layout, spec, tensor)
        try:
            yield run
        finally:
            run.close()
