"""JPEG, PNG and WebP pictures of cameras: read at once, decoded when their turn comes."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.picture_headers import PictureHeader, PictureKind, read_picture_header
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.reused_memory import ReusedMemory

REDUCTIONS = (8, 4, 2, 1)
"""By how much a JPEG picture can be decoded smaller at less cost.  libjpeg-turbo knows all eighths,
but for the others than these it has no vector code: 5/8 takes longer than the whole."""

COLOR_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""What OpenCV is told, by the reduction."""
_GREY_FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_DEPTH = "compresseddepth"
_RGB_IN_FILE = "compressed rgb"


@dataclass(frozen=True, eq=False)
class CompressedPicture:
    """A picture that is not decoded yet."""

    data: NDArray[np.uint8]
    """(N,): the whole file."""
    header: PictureHeader
    encoding: str
    """What its pixels will be, by the names of ``sensor_msgs/image_encodings.hpp``."""

    @classmethod
    def read(cls, data: Any, description: str = "") -> CompressedPicture:
        """Look at a picture's header; nothing is decoded or copied.

        Parameters
        ----------
        data:
            Anything with the buffer protocol that holds the whole file.
        description:
            What ``sensor_msgs/CompressedImage`` says in ``format``: ``jpeg``, ``png``,
            ``rgb8; jpeg compressed bgr8`` ...  The file itself tells its kind.  Two things only the
            format does, as compressed_image_transport writes them: ``compressed rgb8``, that red
            and blue are exchanged in the file; and a Bayer pattern in front, that its grey values
            are one.

        Raises
        ------
        PixelError
            If it is a depth image, of a kind that is not known, or damaged.

        """
        words = description.lower()
        if _DEPTH in words:
            raise PixelError(
                f"format '{description}' is a compressed depth image, not a picture: subscribe to "
                "the camera's colour or infrared image"
            )
        raw: NDArray[np.uint8] = np.frombuffer(data, np.uint8)
        header = read_picture_header(raw.data)
        return cls(raw, header, _encoding(header, words))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.header.width, self.header.height

    def reduced_size(self, reduction: int) -> tuple[int, int]:
        """Width and height when decoded smaller.

        A pixel of the smaller picture covers ``reduction`` squared of the whole one, the first from
        its corner on; those of the last column and row may reach beyond its edge.
        """
        return -(-self.header.width // reduction), -(-self.header.height // reduction)

    @property
    def can_be_reduced(self) -> bool:
        """Whether it can be decoded smaller at less cost: a JPEG picture that is no pattern."""
        return self.header.kind is PictureKind.JPEG and not self.encoding.startswith("bayer")

    def find_reduction(self, factor: float) -> int:
        """Return how much smaller it can be decoded at less cost, if by no more than ``factor``."""
        if not self.can_be_reduced:
            return 1
        return next((each for each in REDUCTIONS if each <= factor), 1)

    def decode(self, reduction: int = 1, memory: ReusedMemory | None = None) -> Pixels:
        """Decode it, upright as it is stored: Exif's orientation turns nothing.

        With the library simplejpeg, which is quicker, JPEG pictures go into memory that is used
        again; without it the result is the same to 2 of 255.  Of 16 bits the upper 8 are taken.

        Parameters
        ----------
        reduction:
            One of :meth:`find_reduction`: how many pixels, in each direction, become one.
        memory:
            Where to decode to.

        Raises
        ------
        PixelError
            If it is damaged so that there is no picture.  Where damage is within the data of a
            JPEG picture, which has no checksum, what is behind it looks wrong.

        """
        width, height = self.reduced_size(reduction)
        is_grey = self.header.channels == 1
        shape = (height, width) if is_grey else (height, width, 3)
        image, reason = None, "decoding gave nothing"
        is_for_simplejpeg = self.header.kind is PictureKind.JPEG and self.header.channels != 4
        simplejpeg = _simplejpeg() if is_for_simplejpeg else None
        if simplejpeg is not None:
            try:
                image = simplejpeg.decode_jpeg(
                    self.data,
                    "GRAY" if is_grey else "BGR",
                    min_width=width,
                    min_height=height,
                    buffer=None if memory is None else memory.array(math.prod(shape)),
                    # As OpenCV: many a camera's picture has bytes too many somewhere.
                    strict=False,
                ).reshape(shape)
            except ValueError as error:
                reason = str(error)
        if image is None:
            # Also what simplejpeg refused: it does not know all ways in which colours are shared.
            flags = (_GREY_FLAGS if is_grey else COLOR_FLAGS)[reduction]
            try:
                image = cv2.imdecode(self.data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
            except cv2.error as error:
                raise self._broken(str(error)) from error
        if image is None or image.shape != shape:
            raise self._broken(reason if image is None else f"decoding gave {image.shape}")
        return Pixels.from_array(image, self.encoding)

    def _broken(self, reason: str) -> PixelError:
        width, height = self.size
        return PixelError(
            f"a {self.header.kind.name} picture of {width}x{height} in {self.data.size} bytes "
            f"cannot be decoded: {reason}"
        )


def _encoding(header: PictureHeader, words: str) -> str:
    """Name what the decoded pixels are; ``words`` is the message's format in lower case."""
    if header.channels == 1:
        source = words.partition(";")[0].strip()
        return source.replace("16", "8") if source.startswith("bayer_") else "mono8"
    return "rgb8" if _RGB_IN_FILE in words else "bgr8"


def has_simplejpeg() -> bool:
    """Whether JPEG pictures are decoded by simplejpeg; else OpenCV does it, at more cost."""
    return _simplejpeg() is not None


@lru_cache(maxsize=1)
def _simplejpeg() -> Any:
    """Return the library, or None where it is not installed."""
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None
