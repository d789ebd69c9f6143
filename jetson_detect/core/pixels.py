"""Camera bytes as arrays, without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.encodings import PixelError, PixelFormat, format_of

__all__ = ("PixelError", "Pixels")

_CONVERSIONS = {
    ("BGR", 3, "RGB"): cv2.COLOR_BGR2RGB,
    ("BGR", 3, "GRAY"): cv2.COLOR_BGR2GRAY,
    ("BGR", 4, "BGR"): cv2.COLOR_BGRA2BGR,
    ("BGR", 4, "RGB"): cv2.COLOR_BGRA2RGB,
    ("BGR", 4, "GRAY"): cv2.COLOR_BGRA2GRAY,
    ("RGB", 3, "BGR"): cv2.COLOR_RGB2BGR,
    ("RGB", 3, "GRAY"): cv2.COLOR_RGB2GRAY,
    ("RGB", 4, "RGB"): cv2.COLOR_RGBA2RGB,
    ("RGB", 4, "BGR"): cv2.COLOR_RGBA2BGR,
    ("RGB", 4, "GRAY"): cv2.COLOR_RGBA2GRAY,
    ("GRAY", 1, "BGR"): cv2.COLOR_GRAY2BGR,
    ("GRAY", 1, "RGB"): cv2.COLOR_GRAY2RGB,
}


@dataclass(frozen=True, eq=False)
class Pixels:
    """A picture as bytes, and what they mean."""

    data: NDArray[np.uint8]
    """(H, W) where a pixel has one byte, else (H, W, bytes); rows may be strided.  Of NV12, NV21
    and NV24 the brightness."""
    format: PixelFormat
    chroma: NDArray[np.uint8] | None = None
    """The colours of NV12, NV21, (H/2, W/2, 2), and NV24, (H, W, 2); rows may be strided."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.data.shape[1], self.data.shape[0]

    @property
    def planes(self) -> tuple[NDArray[np.uint8], ...]:
        """All of the picture's bytes: one array, or two."""
        return (self.data,) if self.chroma is None else (self.data, self.chroma)

    @classmethod
    def from_array(cls, data: NDArray[Any], encoding: str = "bgr8") -> Pixels:
        """Wrap an array.

        Parameters
        ----------
        data:
            (H, W[, C]) uint8; uint16, in either byte order, for an encoding of 16 bits, which is
            copied if it has gaps.  For nv12 and nv21 (H * 3/2, W), for nv24 (H * 3, W), as OpenCV
            takes them.
        encoding:
            A name of ``sensor_msgs/image_encodings.hpp``.

        Raises
        ------
        PixelError
            If the encoding is unknown or another array belongs to it.

        """
        kind = data.dtype
        pixel_format = format_of(encoding, is_bigendian=kind == np.dtype(">u2"))
        channels = data.shape[2] if data.ndim == 3 else 1
        if channels != pixel_format.channels or data.ndim not in (2, 3):
            raise PixelError(
                f"an array of shape {data.shape} is not {encoding}, "
                f"which has {pixel_format.channels} channels"
            )
        if (kind.kind, 8 * kind.itemsize) != ("u", pixel_format.bits):
            raise PixelError(
                f"an array of {kind} is not {encoding}, which has {pixel_format.bits} bits"
            )
        height, width = data.shape[:2]
        chroma = None
        if pixel_format.has_planes:
            share = 3 if pixel_format.color_order == "NV24" else 1.5
            height = int(height / share)
            columns, rows = pixel_format.shared
            if height * share != data.shape[0] or width % columns or height % rows:
                raise PixelError(
                    f"an array of shape {data.shape} is not {encoding}, which has {share:g} rows "
                    "of bytes for each of the picture's, and an even width and height unless nv24"
                )
            data, below = data[:height], data[height:]
            chroma = below.reshape(height // rows, width // columns, 2)
        pixel_format.require_size(width, height)
        if pixel_format.bits == 16:
            packed = np.ascontiguousarray(data)
            data = packed.view(np.uint8).reshape(height, width, pixel_format.pixel_bytes)
        return cls(data, pixel_format, chroma)

    @classmethod
    def from_buffer(
        cls,
        buffer: Any,
        *,
        width: int,
        height: int,
        step: int,
        encoding: str,
        is_bigendian: bool = False,
    ) -> Pixels:
        """View camera bytes as pixels; nothing is copied.

        Parameters
        ----------
        buffer:
            Anything with the buffer protocol that holds ``height`` rows of ``step`` bytes; the
            last row may end with its last pixel.  In nv12 and nv21 half as many rows of colours
            follow, in nv24 as many of twice the bytes, as in V4L2 (pixfmt-yuv-planar).
        width, height:
            Size of the picture in pixels.
        step:
            Bytes from the start of one row to the next, of brightness where it is apart; need not
            be a multiple of a pixel.
        encoding:
            A name of ``sensor_msgs/image_encodings.hpp``.
        is_bigendian:
            Whether the higher byte of 16 bits is the first; of 8 bits it says nothing.

        Raises
        ------
        PixelError
            If the encoding is unknown or the numbers do not fit the buffer.

        """
        pixel_format = format_of(encoding, is_bigendian)
        pixel_bytes = pixel_format.pixel_bytes
        row_bytes = width * pixel_bytes
        pixel_format.require_size(width, height)
        if step < row_bytes:
            raise PixelError(
                f"step {step} is shorter than a row: {width} pixels of {encoding} "
                f"are {row_bytes} bytes"
            )
        raw = np.frombuffer(buffer, np.uint8)
        needed = step * (height - 1) + row_bytes
        has_planes = pixel_format.has_planes
        if has_planes:
            columns, rows = pixel_format.shared
            chroma_shape = (height // rows, width // columns, 2)
            chroma_step = step * 2 // columns
            needed = step * height + chroma_step * (chroma_shape[0] - 1) + 2 * chroma_shape[1]
        if raw.size < needed:
            hint = "; its height is that of the picture, without rows of colours"
            raise PixelError(
                f"{raw.size} bytes of data, but {width}x{height} {encoding} with step {step} "
                f"needs {needed}{hint if has_planes else ''}"
            )
        shape = (height, width) if pixel_bytes == 1 else (height, width, pixel_bytes)
        strides = (step, pixel_bytes, 1)[: len(shape)]
        # As numpy.lib.stride_tricks.as_strided would, in a third of its time.
        view: NDArray[np.uint8] = np.ndarray(shape, np.uint8, raw, 0, strides)
        view.flags.writeable = False
        chroma: NDArray[np.uint8] | None = None
        if has_planes:
            chroma = np.ndarray(chroma_shape, np.uint8, raw, step * height, (chroma_step, 2, 1))
            chroma.flags.writeable = False
        return cls(view, pixel_format, chroma)

    def cropped(self, x: int, y: int, width: int, height: int) -> Pixels:
        """View a part of the picture; nothing is copied.

        Parameters
        ----------
        x, y:
            The part's left and upper edge in pixels.  Even where columns, or rows, share a colour
            (:attr:`PixelFormat.shared`): x in YUYV and UYVY, both in NV12 and NV21.
        width, height:
            Its size in pixels; even where x, or y, has to be.

        Raises
        ------
        PixelError
            If the part is not within the picture, or would cut a colour.

        """
        whole_width, whole_height = self.size
        part = f"the region {x},{y} of {width}x{height} pixels"
        if not (0 <= x <= x + width <= whole_width and 0 <= y <= y + height <= whole_height):
            raise PixelError(f"{part} is not within the {whole_width}x{whole_height} picture")
        pixel_format = self.format
        columns, rows = pixel_format.shared
        if x % columns or width % columns or y % rows or height % rows:
            needed = "x and width" if rows == 1 else "x, y, width and height"
            raise PixelError(
                f"{part} cuts a colour that {columns}x{rows} pixels of {pixel_format.color_order} "
                f"share: {needed} must be even"
            )
        pixel_format = pixel_format.beginning_at(x, y)
        pixel_format.require_size(width, height)
        chroma = self.chroma
        if chroma is not None:
            chroma = chroma[y // rows : (y + height) // rows, x // columns : (x + width) // columns]
        return Pixels(self.data[y : y + height, x : x + width], pixel_format, chroma)

    def high_bytes(self) -> Pixels:
        """View the higher bytes of 16 bits, which are the same picture in 8; else the picture."""
        pixel_format = self.format
        if pixel_format.bits == 8:
            return self
        view = self.data[..., pixel_format.high_byte :: 2]
        if pixel_format.channels == 1:
            view = view[..., 0]
        return Pixels(view, PixelFormat(pixel_format.channels, pixel_format.color_order))

    def conversion_to(self, color_order: str) -> int | None:
        """The OpenCV conversion code to 3-channel BGR or RGB or 1-channel GRAY; None if none.

        Of plain pictures (:attr:`PixelFormat.is_plain`) only; ``core/pixel_conversion.py`` makes
        the others plain.
        """
        return _CONVERSIONS.get((self.format.color_order, self.format.channels, color_order))
