"""Camera bytes as arrays, without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class PixelError(ValueError):
    """An image whose description and bytes do not fit together, or of an unknown encoding."""


@dataclass(frozen=True)
class PixelFormat:
    """What the bytes of one pixel mean."""

    channels: int
    color_order: str
    """BGR, RGB or GRAY: the order of the channels, an alpha channel left aside."""


PIXEL_FORMATS = {
    "bgr8": PixelFormat(3, "BGR"),
    "rgb8": PixelFormat(3, "RGB"),
    "bgra8": PixelFormat(4, "BGR"),
    "rgba8": PixelFormat(4, "RGB"),
    "mono8": PixelFormat(1, "GRAY"),
    "8UC1": PixelFormat(1, "GRAY"),
    "8UC3": PixelFormat(3, "BGR"),
    "8UC4": PixelFormat(4, "BGR"),
}
"""By the names of ``sensor_msgs/image_encodings.hpp``; 8UCn in the order that OpenCV means."""

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
    """An 8-bit picture and the meaning of its channels."""

    data: NDArray[np.uint8]
    """(H, W) for one channel, else (H, W, C); rows may be strided."""
    format: PixelFormat

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.data.shape[1], self.data.shape[0]

    @classmethod
    def from_array(cls, data: NDArray[np.uint8], encoding: str = "bgr8") -> Pixels:
        """Wrap an (H, W[, C]) array."""
        pixel_format = format_of(encoding)
        channels = data.shape[2] if data.ndim == 3 else 1
        if channels != pixel_format.channels:
            raise PixelError(
                f"an array of shape {data.shape} is not {encoding}, "
                f"which has {pixel_format.channels} channels"
            )
        return cls(data, pixel_format)

    @classmethod
    def from_buffer(
        cls, buffer: Any, *, width: int, height: int, step: int, encoding: str
    ) -> Pixels:
        """View camera bytes as pixels; nothing is copied.

        Parameters
        ----------
        buffer:
            Anything with the buffer protocol that holds ``height`` rows of ``step`` bytes; the
            last row may end with its last pixel.
        width, height:
            Size of the picture in pixels.
        step:
            Bytes from the start of one row to the next; need not be a multiple of a pixel.
        encoding:
            A name of ``sensor_msgs/image_encodings.hpp``.

        Raises
        ------
        PixelError
            If the encoding is unknown or the numbers do not fit the buffer.

        """
        pixel_format = format_of(encoding)
        row_bytes = width * pixel_format.channels
        if width < 1 or height < 1:
            raise PixelError(f"the image is {width}x{height}: it has no pixels")
        if step < row_bytes:
            raise PixelError(
                f"step {step} is shorter than a row: {width} pixels of {encoding} "
                f"are {row_bytes} bytes"
            )
        raw = np.frombuffer(buffer, np.uint8)
        needed = step * (height - 1) + row_bytes
        if raw.size < needed:
            raise PixelError(
                f"{raw.size} bytes of data, but {width}x{height} {encoding} with step {step} "
                f"needs {needed}"
            )
        shape = (
            (height, width)
            if pixel_format.channels == 1
            else (
                height,
                width,
                pixel_format.channels,
            )
        )
        strides = (step, pixel_format.channels, 1)[: len(shape)]
        # As numpy.lib.stride_tricks.as_strided would, in a third of its time.
        view: NDArray[np.uint8] = np.ndarray(shape, np.uint8, raw, 0, strides)
        view.flags.writeable = False
        return cls(view, pixel_format)

    def conversion_to(self, color_order: str) -> int | None:
        """The OpenCV conversion code to 3-channel BGR or RGB or 1-channel GRAY; None if none."""
        return _CONVERSIONS.get((self.format.color_order, self.format.channels, color_order))


def format_of(encoding: str) -> PixelFormat:
    """Look an encoding up.

    Raises
    ------
    PixelError
        Naming the encodings that are understood.

    """
    try:
        return PIXEL_FORMATS[encoding]
    except KeyError:
        raise PixelError(
            f"encoding '{encoding}' is not supported; the camera can publish one of "
            f"{', '.join(PIXEL_FORMATS)}"
        ) from None
