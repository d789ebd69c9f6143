"""What the names of camera encodings say of the bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace


class PixelError(ValueError):
    """An image whose description and bytes do not fit together, or of an unknown encoding."""


_SHARED = {"YUYV": (2, 1), "UYVY": (2, 1), "NV12": (2, 2), "NV21": (2, 2)}
"""How many columns and rows of pixels have one colour; elsewhere each has its own."""

_PLANES = frozenset(("NV12", "NV21", "NV24"))
"""A plane of brightness with one of colours below it."""

_SMALLEST_BAYER = 3
"""Pixels each way: OpenCV mixes the colours of neighbours, and answers black without them."""


@dataclass(frozen=True)
class PixelFormat:
    """What the bytes of one pixel mean."""

    channels: int
    """Numbers that lie together; of NV12, NV21 and NV24 the brightness alone."""
    color_order: str
    """BGR, RGB or GRAY: the order of the channels, an alpha channel left aside.  Else how colours
    lie: YUYV, UYVY, NV12, NV21, NV24, or BAYER_ and the colours of the first two by two pixels."""
    bits: int = 8
    """Of each number: 8 or 16."""
    big_endian: bool = False
    """Whether the higher byte of 16 bits is the first."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes from one pixel of a row to the next; of a plane of brightness, where there is."""
        return self.channels * self.bits // 8

    @property
    def is_plain(self) -> bool:
        """Whether each byte is one of the colours of its pixel: 8-bit BGR, RGB or GRAY."""
        return self.bits == 8 and self.color_order in _PLAIN_ORDERS

    @property
    def has_planes(self) -> bool:
        """Whether colours lie in a plane of their own."""
        return self.color_order in _PLANES

    @property
    def is_bayer(self) -> bool:
        """Whether each pixel has one of three colours."""
        return self.color_order.startswith("BAYER_")

    @property
    def high_byte(self) -> int:
        """Which byte of a number is the picture: the only one, or the higher of two."""
        return 1 if self.bits == 16 and not self.big_endian else 0

    @property
    def shared(self) -> tuple[int, int]:
        """How many columns and how many rows share their colour: places and sizes are multiples."""
        return _SHARED.get(self.color_order, (1, 1))

    def beginning_at(self, x: int, y: int) -> PixelFormat:
        """Return the format of a part of the picture that begins at a pixel."""
        if not self.is_bayer or not (x % 2 or y % 2):
            return self
        pattern = self.color_order[-4:]
        if x % 2:
            pattern = pattern[1] + pattern[0] + pattern[3] + pattern[2]
        if y % 2:
            pattern = pattern[2:] + pattern[:2]
        return replace(self, color_order=f"BAYER_{pattern}")

    def require_size(self, width: int, height: int) -> None:
        """See that a picture of this size can be.

        Raises
        ------
        PixelError
            Naming what is wrong with it.

        """
        if width < 1 or height < 1:
            raise PixelError(f"the image is {width}x{height}: it has no pixels")
        columns, rows = self.shared
        if width % columns or height % rows:
            raise PixelError(
                f"a {width}x{height} picture in {self.color_order} has half a colour: the camera "
                "has to publish an even size"
            )
        if self.is_bayer and min(width, height) < _SMALLEST_BAYER:
            raise PixelError(
                f"a {width}x{height} picture in {self.color_order} is too small to mix its "
                f"colours: at least {_SMALLEST_BAYER}x{_SMALLEST_BAYER} pixels are needed"
            )


_PLAIN_ORDERS = frozenset(("BGR", "RGB", "GRAY"))

_BAYER_PATTERNS = ("RGGB", "BGGR", "GBRG", "GRBG")

PIXEL_FORMATS = {
    "bgr8": PixelFormat(3, "BGR"),
    "rgb8": PixelFormat(3, "RGB"),
    "bgra8": PixelFormat(4, "BGR"),
    "rgba8": PixelFormat(4, "RGB"),
    "mono8": PixelFormat(1, "GRAY"),
    "8UC1": PixelFormat(1, "GRAY"),
    "8UC3": PixelFormat(3, "BGR"),
    "8UC4": PixelFormat(4, "BGR"),
    "bgr16": PixelFormat(3, "BGR", 16),
    "rgb16": PixelFormat(3, "RGB", 16),
    "bgra16": PixelFormat(4, "BGR", 16),
    "rgba16": PixelFormat(4, "RGB", 16),
    "mono16": PixelFormat(1, "GRAY", 16),
    "16UC1": PixelFormat(1, "GRAY", 16),
    "yuyv": PixelFormat(2, "YUYV"),
    "yuv422_yuy2": PixelFormat(2, "YUYV"),
    "uyvy": PixelFormat(2, "UYVY"),
    "yuv422": PixelFormat(2, "UYVY"),
    "nv12": PixelFormat(1, "NV12"),
    "nv21": PixelFormat(1, "NV21"),
    "nv24": PixelFormat(1, "NV24"),
    **{
        f"bayer_{pattern.lower()}{bits}": PixelFormat(1, f"BAYER_{pattern}", bits)
        for bits in (8, 16)
        for pattern in _BAYER_PATTERNS
    },
}
"""By the names of ``sensor_msgs/image_encodings.hpp`` (Kilted's; Humble lacks nv12, uyvy and yuyv,
which cameras publish there all the same); 8UCn in the order that OpenCV means.

16 bits are a full range: the higher byte is the picture, what cv_bridge scales by 255/65535 comes
out at most 1 lower.  Of 16UC1 nobody says what it holds.  It is read as mono16, as thermal cameras
publish it; depth in millimetres (REP 118) is no picture, and 10 m of it are nearly black.  A range
is never stretched to what a frame holds, as that differs from frame to frame.
"""

_BIG_ENDIAN = {
    name: replace(each, big_endian=True) for name, each in PIXEL_FORMATS.items() if each.bits == 16
}


def format_of(encoding: str, is_bigendian: bool = False) -> PixelFormat:
    """Look an encoding up.

    Parameters
    ----------
    encoding:
        A name of :data:`PIXEL_FORMATS`.
    is_bigendian:
        Whether the higher byte of 16 bits is the first; of 8 bits it says nothing.

    Raises
    ------
    PixelError
        Naming the encodings that are understood.

    """
    try:
        if is_bigendian and encoding in _BIG_ENDIAN:
            return _BIG_ENDIAN[encoding]
        return PIXEL_FORMATS[encoding]
    except KeyError:
        raise PixelError(
            f"encoding '{encoding}' is not supported; the camera can publish one of "
            f"{', '.join(PIXEL_FORMATS)}"
        ) from None
