"""How the bytes of a camera's picture lie in memory, as the letterbox kernel knows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.tensorrt.sampling import LARGEST_SOURCE
from jetson_detect.core.pixels import PixelError, PixelFormat, Pixels


class SourceFormat(IntEnum):
    """An encoding; the numbers are those of ``letterbox.cu: SourceFormat``."""

    BGR8 = 0
    RGB8 = 1
    BGRA8 = 2
    RGBA8 = 3
    MONO8 = 4
    YUYV = 5
    """``yuv422_yuy2``: two pixels in Y U Y V."""
    UYVY = 6
    """``yuv422``: two pixels in U Y V Y."""
    NV12 = 7
    """A plane of Y, below it half as many rows of U and V in turn."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes from one pixel of a row to the next."""
        return _PIXEL_BYTES[self]

    @property
    def shares_columns(self) -> bool:
        """Whether two columns share their colour, so that the width has to be even."""
        return self >= SourceFormat.YUYV

    @property
    def shares_rows(self) -> bool:
        """Whether two rows share their colour, so that the height has to be even."""
        return self is SourceFormat.NV12


_FORMATS = {
    ("BGR", 3): SourceFormat.BGR8,
    ("RGB", 3): SourceFormat.RGB8,
    ("BGR", 4): SourceFormat.BGRA8,
    ("RGB", 4): SourceFormat.RGBA8,
    ("GRAY", 1): SourceFormat.MONO8,
    ("YUYV", 2): SourceFormat.YUYV,
    ("UYVY", 2): SourceFormat.UYVY,
    ("NV12", 1): SourceFormat.NV12,
}
"""By colour order and channels of a :class:`PixelFormat`."""

_PIXEL_BYTES = {source: channels for (_, channels), source in _FORMATS.items()}

_ROOM_FOR_PADDING = 2
"""Rows that are longer than this many times their pixels are copied one by one: the picture is a
part of a larger one, and what lies between would be copied in vain."""


def source_format_of(pixel_format: PixelFormat) -> SourceFormat | None:
    """Return the kernel's name for a format; None if it knows none."""
    return _FORMATS.get((pixel_format.color_order, pixel_format.channels))


@dataclass(frozen=True)
class PictureLayout:
    """Where the pixels of a picture are, counted from its first byte."""

    format: SourceFormat
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    rows: int
    """Rows of bytes; of NV12 half as many again as the height."""
    row_bytes: int
    """Bytes of a row's pixels."""
    step: int
    """Bytes from the start of one row to the next."""

    @property
    def size(self) -> int:
        """Bytes from the first to the last."""
        return self.step * (self.rows - 1) + self.row_bytes

    @classmethod
    def of(cls, pixels: Pixels) -> PictureLayout | None:
        """Describe a picture as it lies in memory; None if it has to be copied row by row.

        Raises
        ------
        PixelError
            If the kernel cannot read it.

        """
        data = pixels.data
        packed = cls.packed(pixels)
        step: int = data.strides[0]
        together = data.strides[1:] == ((data.shape[2], 1) if data.ndim == 3 else (1,))
        if together and packed.row_bytes <= step <= _ROOM_FOR_PADDING * packed.row_bytes:
            return cls(
                packed.format, packed.width, packed.height, packed.rows, packed.row_bytes, step
            )
        return None

    @classmethod
    def packed(cls, pixels: Pixels) -> PictureLayout:
        """Describe a picture's copy without gaps.

        Raises
        ------
        PixelError
            If the kernel cannot read it.

        """
        source_format = source_format_of(pixels.format)
        if source_format is None:
            raise PixelError(
                f"the GPU does not know pictures of {pixels.format.channels} channels "
                f"{pixels.format.color_order}: set tensorrt.preprocessing to cpu"
            )
        width, height = pixels.size
        if max(width, height) > LARGEST_SOURCE:
            raise PixelError(
                f"a {width}x{height} picture has more than {LARGEST_SOURCE} pixels in a row or "
                "column: set tensorrt.preprocessing to cpu"
            )
        if (source_format.shares_columns and width % 2) or (
            source_format.shares_rows and height % 2
        ):
            raise PixelError(
                f"a {width}x{height} picture in {source_format.name} has half a colour: the camera "
                "has to publish an even size"
            )
        rows: int = pixels.data.shape[0]
        row_bytes = width * source_format.pixel_bytes
        return cls(source_format, width, height, rows, row_bytes, row_bytes)


def address_of(array: NDArray[np.uint8]) -> int:
    """Return the address of an array's first byte."""
    address: int = array.__array_interface__["data"][0]
    return address
