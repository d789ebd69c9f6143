"""The CUDA kernel that makes a network's input of raw camera bytes: ``letterbox.cu``."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from types import MappingProxyType

import numpy as np

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.backends.tensorrt.dtypes import Storage
from jetson_detect.core.backends.tensorrt.kernel import Kernel
from jetson_detect.core.backends.tensorrt.source_format import PictureLayout
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.tensorrt_library.driver import CudaDriver

NAME = "letterbox"

_BLOCK = (32, 8)
"""Threads of a block in x and y: a warp writes neighbouring pixels of one row."""


class ElementType(IntEnum):
    """The type of a tensor's numbers; as in ``letterbox.cu: ElementType``."""

    FLOAT32 = 0
    FLOAT16 = 1
    BFLOAT16 = 2
    UINT8 = 3
    INT8 = 4


_ELEMENT_TYPES = {
    np.dtype(np.float32): ElementType.FLOAT32,
    np.dtype(np.float16): ElementType.FLOAT16,
    np.dtype(np.uint8): ElementType.UINT8,
    np.dtype(np.int8): ElementType.INT8,
}

_COLOR_ORDERS = MappingProxyType({ColorOrder.BGR: 0, ColorOrder.RGB: 1, ColorOrder.GRAY: 2})
"""As in ``letterbox.cu: ColorOrder``."""


def element_type_of(storage: Storage) -> ElementType | None:
    """Return the kernel's name for a tensor's type; None if it cannot write it."""
    if storage.converted:  # the only type that NumPy lacks and the backend converts
        return ElementType.BFLOAT16
    return _ELEMENT_TYPES.get(storage.stored)


class LetterboxTask(ctypes.Structure):
    """The kernel's only argument; as ``letterbox.cu: LetterboxTask``."""

    _fields_ = (
        ("source", ctypes.c_void_p),
        ("tensor", ctypes.c_void_p),
        ("columns", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("source_width", ctypes.c_int),
        ("source_height", ctypes.c_int),
        ("source_step", ctypes.c_int),
        ("source_format", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("content_x", ctypes.c_int),
        ("content_y", ctypes.c_int),
        ("content_width", ctypes.c_int),
        ("content_height", ctypes.c_int),
        ("color_order", ctypes.c_int),
        ("channels_last", ctypes.c_int),
        ("element_type", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("factor", ctypes.c_float * 3),
        ("offset", ctypes.c_float * 3),
    )

    @classmethod
    def for_input(
        cls, spec: InputSpec, tensor: TensorInfo, element_type: ElementType
    ) -> LetterboxTask:
        """Fill in all that does not depend on the picture.

        ``(byte - mean) * scale``, and where the tensor is quantised the division by its scale and
        the addition of its zero point, become one factor and one offset a channel.
        """
        task = cls(
            width=spec.width,
            height=spec.height,
            color_order=_COLOR_ORDERS[spec.color_order],
            channels_last=spec.layout is Layout.NHWC,
            element_type=element_type,
            padding=spec.padding_value,
        )
        for channel, (mean, scale) in enumerate(zip(spec.mean, spec.scale)):
            factor, offset = scale, -mean * scale
            if tensor.quantization is not None:
                factor /= tensor.quantization.scale
                offset = offset / tensor.quantization.scale + tensor.quantization.zero_point
            task.factor[channel], task.offset[channel] = factor, offset
        return task

    def fit(self, layout: PictureLayout, transform: ImageTransform) -> None:
        """Fill in where the picture's pixels are and where they go."""
        self.source_width, self.source_height = layout.width, layout.height
        self.source_step, self.source_format = layout.step, layout.format
        self.content_x, self.content_y = transform.content_x, transform.content_y
        self.content_width = transform.content_width
        self.content_height = transform.content_height


class LetterboxKernel(Kernel):
    """The kernel on a GPU; all calls need its context to be current."""

    def __init__(self, driver: CudaDriver) -> None:
        """Load it; see :class:`Kernel` for errors."""
        super().__init__(driver, NAME)

    def make(self, task: LetterboxTask, stream: ctypes.c_void_p) -> None:
        """Queue the making of one tensor; see :meth:`Kernel.launch`."""
        self.launch(task, (task.width, task.height), _BLOCK, stream)
