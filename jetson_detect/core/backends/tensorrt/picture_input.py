"""A picture on its way to the GPU, and the task that makes a tensor of it there."""

from __future__ import annotations

import ctypes
import logging
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.backends.tensorrt.gpu import MemoryMode
from jetson_detect.core.backends.tensorrt.lane import Lane
from jetson_detect.core.backends.tensorrt.letterbox_kernel import ElementType, LetterboxTask
from jetson_detect.core.backends.tensorrt.profiles import Shape
from jetson_detect.core.backends.tensorrt.sampling import renumbered, sampling_table, sources_of
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.backends.tensorrt.source_format import PictureLayout, address_of
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import InputSpec
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixels import Pixels

_logger = logging.getLogger(__name__)

_GEOMETRIES = 8
"""Layouts of pictures whose tables are kept: cameras that take turns need not make them anew."""

_WORTH_GATHERING = 0.75
"""The share of a picture's rows up to which they are picked one by one."""

_UINT8 = np.dtype(np.uint8)
_UINT32 = np.dtype(np.uint32)


@dataclass(frozen=True, eq=False)
class _Geometry:
    """What follows from the layout of a picture."""

    layout: PictureLayout
    transform: ImageTransform
    tables: TensorMemory
    """Those of :func:`sampling_table` for columns, for rows, and for the gathered rows."""
    gathered: NDArray[np.intp] | None
    """The rows that the kernel reads, if they are few enough to be copied alone."""


class PictureInput:
    """Makes one input, in one slot, of pictures.

    The picture's bytes go to the GPU as they are, all rows in one copy: from memory that is
    page-locked they are read directly, else they are copied into page-locked memory first.  Where
    CPU and GPU share their memory nothing is copied but that.  That copy leaves out rows that are
    not read: of 1920x1080 made into 640x360 these are two of three.

    Of 16 bits the higher bytes are copied; a Bayer pattern gets its colours on the CPU.
    """

    def __init__(
        self,
        session: Session,
        lane: Lane,
        spec: InputSpec,
        tensor: TensorInfo,
        element_type: ElementType,
        shape: Shape,
    ) -> None:
        """Prepare for pictures of any size."""
        self.shape = shape
        """The tensor's."""
        self._session = session
        self._lane = lane
        self._spec = spec
        self._task = LetterboxTask.for_input(spec, tensor, element_type)
        self._converter = PixelConverter()
        self._zero_copy = session.gpu.memory_mode is MemoryMode.ZERO_COPY
        self._memory = session.memory(f"{tensor.name}: picture")
        self._geometries: OrderedDict[tuple[PictureLayout, tuple[int, int]], _Geometry] = (
            OrderedDict()
        )
        self._current: _Geometry | None = None
        self._kind: tuple[object, ...] | None = None
        """Shape, strides and format of the last picture: the next is mostly like it."""
        self._together = False
        """Whether such pictures are copied in one piece."""
        self._source = 0
        """Where the picture is: the host's address if it has to be copied, else the GPU's."""
        self._size = 0
        """Its bytes there."""

    def stage(self, pixels: Pixels) -> ImageTransform:
        """Take a picture for the next inference, while this slot is idle.

        Raises
        ------
        PixelError
            If the kernel cannot read it.
        BackendError
            If memory is used up.

        """
        source_size = pixels.size
        if not pixels.format.is_plain:
            pixels = self._readable(pixels)
        data, chroma = pixels.data, pixels.chroma
        kind: tuple[object, ...] = (source_size, data.shape, data.strides, pixels.format)
        if chroma is not None:
            kind += (chroma.strides, address_of(chroma) - address_of(data))
        geometry = self._current
        if geometry is None or kind != self._kind:
            geometry = self._geometry_of(pixels, source_size)
            self._kind = kind
        layout, together = geometry.layout, self._together
        address = address_of(data)
        shift = self._session.page_locks.shift_of(address, layout.size) if together else None
        if shift is not None:
            self._source = address + shift if self._zero_copy else address
            self._whole(geometry)
            return geometry.transform
        staging = self._memory.host_address
        self._source = self._memory.address if self._zero_copy else staging
        if together and geometry.gathered is not None:
            self._gather(geometry, data, geometry.gathered)
            return geometry.transform
        self._whole(geometry)
        if together:
            # All rows with what lies between them; other threads run meanwhile.
            ctypes.memmove(staging, address, layout.size)
        else:
            self._pack(pixels)
        return geometry.transform

    def queue(self, tensor: TensorMemory, offset: int = 0) -> None:
        """Queue the upload of the picture and the kernel that writes the tensor, at a byte of it.

        Raises
        ------
        CudaDriverError
            If the driver refuses.

        """
        task, lane = self._task, self._lane
        task.source = self._source
        if not self._zero_copy:
            task.source = self._memory.address
            self._session.library.driver.call(
                "cuMemcpyHtoDAsync_v2",
                ctypes.c_void_p(self._memory.address),
                ctypes.c_void_p(self._source),
                ctypes.c_size_t(self._size),
                lane.handle,
            )
        task.tensor = tensor.address + offset
        self._session.letterbox.make(task, lane.handle)

    def _readable(self, pixels: Pixels) -> Pixels:
        """Return the picture in an encoding that the kernel reads, if there is a way."""
        if pixels.format.is_bayer:
            _tell_converted(pixels.format.color_order)
            spec, transform = self._spec, self._spec.fit(pixels.size)
            size = (transform.content_width, transform.content_height)
            return self._converter(pixels, spec.color_order.value, size, spec.interpolation)
        return pixels.high_bytes()

    def _pack(self, pixels: Pixels) -> None:
        """Copy a picture without what lies between its rows."""
        packed = self._memory.array((sum(plane.size for plane in pixels.planes),), _UINT8)
        start = 0
        for plane in pixels.planes:
            end = start + plane.size
            np.copyto(packed[start:end].reshape(plane.shape), plane)
            start = end

    def _geometry_of(self, pixels: Pixels, source_size: tuple[int, int]) -> _Geometry:
        """Bring the task in line with pictures like this one, which may have been larger."""
        self._kind = None
        layout = PictureLayout.of(pixels)
        self._together = layout is not None
        if layout is None:
            layout = PictureLayout.packed(pixels)
        if layout.size > self._memory.capacity:  # which a larger picture that was refused gave up
            with self._session.in_context("the picture cannot be taken"):
                self._memory.reserve(layout.size)
        geometry = self._geometries.get((layout, source_size))
        if geometry is None:
            geometry = self._prepare(layout, source_size)
        self._take(geometry)
        return geometry

    def _prepare(self, layout: PictureLayout, source_size: tuple[int, int]) -> _Geometry:
        """Make the tables for a layout, in the place of the oldest where there are too many."""
        interpolation = self._spec.interpolation
        transform = self._spec.fit(source_size)
        columns = sampling_table(layout.width, transform.content_width, interpolation)
        rows = sampling_table(layout.height, transform.content_height, interpolation)
        sources = sources_of(rows)
        # Colours have rows of their own; rows with gaps are no plain array.
        plain = layout.rows == layout.height and layout.step == layout.row_bytes
        few = plain and sources.size <= _WORTH_GATHERING * layout.rows
        entries = np.concatenate([columns, rows, renumbered(rows, sources)])
        with self._session.in_context("the picture cannot be prepared"):
            if len(self._geometries) < _GEOMETRIES:
                tables = self._session.memory("tables of the letterbox")
            else:
                tables = self._geometries.popitem(last=False)[1].tables
            tables.reserve(entries.nbytes)
            stored = tables.array(entries.shape, _UINT32)
            stored[...] = entries
            tables.to_device(stored, self._lane.stream)
            # The host's side may be another picture's before the next inference.
            self._lane.end()
            self._lane.wait()
        geometry = _Geometry(layout, transform, tables, sources if few else None)
        self._geometries[layout, source_size] = geometry
        return geometry

    def _take(self, geometry: _Geometry) -> None:
        """Bring the task in line with a layout."""
        self._task.columns = geometry.tables.address
        self._task.fit(geometry.layout, geometry.transform)
        self._current = geometry

    def _whole(self, geometry: _Geometry) -> None:
        """Let the kernel read a picture that has all its rows."""
        self._size = geometry.layout.size
        self._task.rows = geometry.tables.address + _UINT32.itemsize * self._task.content_width

    def _gather(self, geometry: _Geometry, data: NDArray[np.uint8], rows: NDArray[np.intp]) -> None:
        """Copy the rows that the kernel reads, and let it read them."""
        task, row_bytes = self._task, geometry.layout.row_bytes
        picked = self._memory.array((rows.size, row_bytes), data.dtype)
        # With any other mode than the default NumPy writes into ``out`` directly.
        np.take(data.reshape(-1, row_bytes), rows, axis=0, out=picked, mode="clip")
        self._size = picked.nbytes
        entries = task.content_width + task.content_height
        task.rows = geometry.tables.address + _UINT32.itemsize * entries


@lru_cache
def _tell_converted(color_order: str) -> None:
    """Say once of an encoding that it costs the CPU something."""
    _logger.info(
        "pictures in %s get their colours on the CPU; the GPU reads BGR, RGB, grey, YUYV, UYVY, "
        "NV12, NV21 and NV24",
        color_order,
    )
