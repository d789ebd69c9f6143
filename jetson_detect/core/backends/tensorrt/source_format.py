"""How the bytes of a camera's picture lie in memory, as the letterbox kernel knows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.tensorrt.sampling import LARGEST_SOURCE
from jetson_detect.core.encodings import PIXEL_FORMATS, PixelError, PixelFormat
from jetson_detect.core.pixels import Pixels


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
    NV21 = 8
    """The same with V and U in turn."""
    NV24 = 9
    """A plane of Y, below it as many rows, each twice as long, of U and V in turn."""

    @property
    def encoding(self) -> str:
        """Its name as an encoding."""
        return self.name.lower()

    @property
    def pixel_format(self) -> PixelFormat:
        """What its bytes mean."""
        return PIXEL_FORMATS[self.encoding]

    @property
    def pixel_bytes(self) -> int:
        """Bytes from one pixel of a row to the next."""
        return self.pixel_format.pixel_bytes

    def rows_of_bytes(self, height: int) -> int:
        """Return how many rows as long as one of the picture it has, with those of colours."""
        if not self.pixel_format.has_planes:
            return height
        return 3 * height if self is SourceFormat.NV24 else height * 3 // 2


_BY_FORMAT = {source.pixel_format: source for source in SourceFormat}

_ROOM_FOR_PADDING = 2
"""Rows that are longer than this many times their pixels are copied one by one: the picture is a
part of a larger one, and what lies between would be copied in vain."""


def source_format_of(pixel_format: PixelFormat) -> SourceFormat | None:
    """Return the kernel's name for a format; None if it knows none."""
    return _BY_FORMAT.get(pixel_format)


@dataclass(frozen=True)
class PictureLayout:
    """Where the pixels of a picture are, counted from its first byte."""

    format: SourceFormat
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    rows: int
    """Rows of bytes, :meth:`SourceFormat.rows_of_bytes`."""
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
        if pixels.chroma is not None:
            together = together and _follows(pixels.chroma, data, packed)
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
        pixels.format.require_size(width, height)
        rows = source_format.rows_of_bytes(height)
        row_bytes = width * pixels.format.pixel_bytes
        return cls(source_format, width, height, rows, row_bytes, row_bytes)


def _follows(chroma: NDArray[np.uint8], data: NDArray[np.uint8], packed: PictureLayout) -> bool:
    """Whether the kernel finds the colours: right below, in rows of the same step."""
    step: int = data.strides[0]
    chroma_step = step
    if packed.format is SourceFormat.NV24:  # what a row lacks would come twice, then not at all
        if step != packed.row_bytes:
            return False
        chroma_step = 2 * step
    apart = address_of(chroma) - address_of(data)
    return chroma.strides == (chroma_step, 2, 1) and apart == packed.height * step


def address_of(array: NDArray[Any]) -> int:
    """Return the address of an array's first byte."""
    address: int = array.__array_interface__["data"][0]
    return address
