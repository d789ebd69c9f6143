"""Pictures of every camera encoding made plain: one byte a colour, BGR, RGB or grey."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.encodings import PixelFormat
from jetson_detect.core.model import Interpolation
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.resizing import resize, rows_read

_PLAIN = {
    "BGR": PixelFormat(3, "BGR"),
    "RGB": PixelFormat(3, "RGB"),
    "GRAY": PixelFormat(1, "GRAY"),
}

_YUV = {
    ("YUYV", "BGR"): cv2.COLOR_YUV2BGR_YUY2,
    ("YUYV", "RGB"): cv2.COLOR_YUV2RGB_YUY2,
    ("UYVY", "BGR"): cv2.COLOR_YUV2BGR_UYVY,
    ("UYVY", "RGB"): cv2.COLOR_YUV2RGB_UYVY,
    ("NV12", "BGR"): cv2.COLOR_YUV2BGR_NV12,
    ("NV12", "RGB"): cv2.COLOR_YUV2RGB_NV12,
    ("NV21", "BGR"): cv2.COLOR_YUV2BGR_NV21,
    ("NV21", "RGB"): cv2.COLOR_YUV2RGB_NV21,
}

_BAYER = {
    ("RGGB", "BGR"): cv2.COLOR_BayerBG2BGR,
    ("RGGB", "RGB"): cv2.COLOR_BayerBG2RGB,
    ("BGGR", "BGR"): cv2.COLOR_BayerRG2BGR,
    ("BGGR", "RGB"): cv2.COLOR_BayerRG2RGB,
    ("GBRG", "BGR"): cv2.COLOR_BayerGR2BGR,
    ("GBRG", "RGB"): cv2.COLOR_BayerGR2RGB,
    ("GRBG", "BGR"): cv2.COLOR_BayerGB2BGR,
    ("GRBG", "RGB"): cv2.COLOR_BayerGB2RGB,
}
"""OpenCV names a pattern by the second row from the second column on, ROS by the first two rows."""

_WITH_BRIGHTNESS = frozenset(("YUYV", "UYVY", "NV12", "NV21", "NV24"))

_GREY_OF_BRIGHTNESS = np.clip(
    (1220542 * np.maximum(np.arange(256) - 16, 0) + (1 << 19)) >> 20, 0, 255
).astype(np.uint8)
"""Black is 16 and white 235 (ITU-R BT.601, limited range), in the fixed point that OpenCV computes
colours with (modules/imgproc/src/color_yuv.simd.hpp).  Its own conversions of YUV to grey leave
the brightness as it is; with them a network would see another picture than of a bgr8 camera."""


_WITHIN_NEIGHBOURS = (Interpolation.LINEAR, Interpolation.AREA, Interpolation.NEAREST)
"""Those that give no number beyond those that they mix."""


class PixelConverter:
    """Makes pictures plain, in memory that it uses again for the next one.

    Colours of YUV are those of ITU-R BT.601 in limited range, as OpenCV and cv_bridge convert them
    and as cameras send them.

    Where the picture is to shrink, it is not converted as a whole if the result is the same, or
    nearly: see :meth:`__call__`.  As a share of the time that the whole takes, converted, resized
    and normalised, 1920x1080 to 640x640 on an x86-64 CPU (``scripts/encoding_costs.py``): mono16,
    resized as pairs of bytes, 0.4; YUYV, of which only the rows that are read are converted, 0.6;
    rgb16 likewise, 0.5; NV24, brightness and colours resized apart, 0.2; Bayer, a pixel of each
    block of four, 0.7, and to 416x416 0.4; the grey of YUV 0.2 to 0.4.

    NV12 is always converted as a whole.  Resized apart it would take 1.2 times as long, to 416x416
    0.6 times, but edges of colour would be drawn anew between those that share one: another
    picture than on the GPU.
    """

    def __init__(self) -> None:
        self._memory: dict[str, NDArray[np.uint8]] = {}

    def __call__(
        self,
        pixels: Pixels,
        order: str = "BGR",
        size: tuple[int, int] | None = None,
        interpolation: Interpolation = Interpolation.LINEAR,
    ) -> Pixels:
        """Convert a picture.

        Parameters
        ----------
        pixels:
            Of any encoding; a plain picture is returned as it is.
        order:
            BGR, RGB or GRAY: what it is converted to where that costs nothing, else to any of them.
        size:
            Width and height that the picture is resized to afterwards, if it is.
        interpolation:
            How it is resized.

        Returns
        -------
        A plain picture of the same scene, valid until the next call.  It may already be resized, in
        one or both directions, and is to be resized from there.  What comes out is that of the
        whole to 1 of 255; to 2 where YUV becomes grey, and to 4 in NV24, whose numbers are rounded
        before they weigh up to 2.018 in a colour (if they are one: what is none is cut off later).
        Of a Bayer pattern that shrinks to half or less, each colour is off its place by half a
        pixel of the pattern each way.

        """
        pixel_format = pixels.format
        if pixel_format.is_plain:
            return pixels
        if order == "GRAY" and pixel_format.color_order in _WITH_BRIGHTNESS:
            return self._brightness(pixels, size, interpolation)
        if pixel_format.bits == 16 and pixel_format.color_order == "GRAY":
            grey = self._one_of_two(pixels.data, pixel_format.high_byte, size, interpolation)
            return Pixels(grey, _PLAIN["GRAY"])
        wanted = "RGB" if order == "RGB" else "BGR"
        if pixel_format.is_bayer:
            if size is not None and _is_quicker_in_blocks(pixels.size, size, interpolation):
                return self._of_blocks(pixels, wanted, size, interpolation)
            return self._demosaiced(pixels, wanted)
        if pixel_format.color_order == "NV24":
            return self._full_color(pixels, wanted, size, interpolation)
        rows = slice(None)
        if size is not None and pixels.chroma is None:
            rows = rows_read(pixels.size, size, interpolation)
        if pixel_format.bits == 16:
            return self._higher_bytes(pixels, rows)
        return self._color(pixels, rows, wanted)

    def _room(self, name: str, *shape: int) -> NDArray[np.uint8]:
        """Return an array of this shape, in memory that grows to the largest."""
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = np.empty(size, np.uint8)
        return memory[:size].reshape(shape)

    def _resized(
        self,
        name: str,
        data: NDArray[np.uint8],
        size: tuple[int, int],
        interpolation: Interpolation,
    ) -> NDArray[np.uint8]:
        """Return bytes in another size, each by itself."""
        resized = self._room(name, size[1], size[0], *data.shape[2:])
        resize(data, resized, interpolation)
        return resized

    def _brightness(
        self, pixels: Pixels, size: tuple[int, int] | None, interpolation: Interpolation
    ) -> Pixels:
        """Return the grey of YUV, which needs no colours, in the size that is wanted."""
        grey = pixels.data
        if pixels.chroma is None:
            index = 0 if pixels.format.color_order == "YUYV" else 1
            grey = self._one_of_two(grey, index, size, interpolation)
        if size is not None and grey.shape != size[::-1]:
            grey = self._resized("resized", grey, size, interpolation)
        full_range = self._room("grey", *grey.shape)
        cv2.LUT(grey, _GREY_OF_BRIGHTNESS, dst=full_range)
        return Pixels(full_range, _PLAIN["GRAY"])

    def _one_of_two(
        self,
        data: NDArray[np.uint8],
        index: int,
        size: tuple[int, int] | None,
        interpolation: Interpolation,
    ) -> NDArray[np.uint8]:
        """Return the first or second byte of each pixel, (h, w), of the smaller size if it is."""
        if size is not None and _is_quicker_in_pairs(
            (data.shape[1], data.shape[0]), size, interpolation
        ):
            data = self._resized("resized", data, size, interpolation)
        byte = self._room("byte", *data.shape[:2])
        cv2.extractChannel(data, index, dst=byte)
        return byte

    def _higher_bytes(self, pixels: Pixels, rows: slice) -> Pixels:
        """Return 16-bit colours in 8 bits, (h, W, 3)."""
        data = pixels.data[rows]
        colors = self._room("colors", *data.shape[:2], 3)
        first = pixels.format.high_byte
        cv2.mixChannels([data], [colors], [first, 0, first + 2, 1, first + 4, 2])
        return Pixels(colors, _PLAIN[pixels.format.color_order])

    def _color(self, pixels: Pixels, rows: slice, order: str) -> Pixels:
        """Return the colours of YUV that OpenCV knows, (h, W, 3)."""
        data, code = pixels.data[rows], _YUV[pixels.format.color_order, order]
        colors = self._room("colors", *data.shape[:2], 3)
        if pixels.chroma is None:
            cv2.cvtColor(data, code, dst=colors)
        else:
            cv2.cvtColorTwoPlane(data, pixels.chroma, code, dst=colors)
        return Pixels(colors, _PLAIN[order])

    def _full_color(
        self,
        pixels: Pixels,
        order: str,
        size: tuple[int, int] | None,
        interpolation: Interpolation,
    ) -> Pixels:
        """Return the colours of NV24, (h, w, 3), resized if there is a size.

        OpenCV knows no such encoding; but pixels that come twice share their colour as in YUYV.
        """
        data, chroma = pixels.data, pixels.chroma
        assert chroma is not None
        if size is not None and interpolation in _WITHIN_NEIGHBOURS:
            data = self._resized("resized", data, size, interpolation)
            chroma = self._resized("chroma", chroma, size, interpolation)
        height, width = data.shape
        twice = self._room("twice", height, width, 4)
        cv2.mixChannels([data, chroma], [twice], [0, 0, 1, 1, 0, 2, 2, 3])
        colors = self._room("colors", height, 2 * width, 3)
        cv2.cvtColor(twice.reshape(height, 2 * width, 2), _YUV["YUYV", order], dst=colors)
        once = self._room("once", height, width, 3)
        cv2.resize(colors, (width, height), dst=once, interpolation=cv2.INTER_NEAREST)
        return Pixels(once, _PLAIN[order])

    def _of_blocks(
        self, pixels: Pixels, order: str, size: tuple[int, int], interpolation: Interpolation
    ) -> Pixels:
        """Return a Bayer pattern as a picture of half its size, resized: a pixel of each block."""
        data, pixel_format = pixels.data, pixels.format
        height, width = data.shape[0] // 2, data.shape[1] // 2
        pairs = [
            self._resized(
                f"row {row}", data[row::2].reshape(height, width, -1), size, interpolation
            )
            for row in (0, 1)
        ]
        planes = self._room("planes", 4, size[1], size[0])
        first = pixel_format.high_byte
        second, of_lower = first + pixel_format.pixel_bytes, pairs[0].shape[2]
        places = (first, second, of_lower + first, of_lower + second)
        routes = [number for route in zip(places, range(4)) for number in route]
        cv2.mixChannels(pairs, list(planes), routes)
        pattern = pixel_format.color_order[-4:]
        red, blue = planes[pattern.index("R")], planes[pattern.index("B")]
        green, other = planes[pattern.index("G")], planes[pattern.rindex("G")]
        cv2.addWeighted(green, 0.5, other, 0.5, 0, dst=green)
        colors = self._room("colors", size[1], size[0], 3)
        cv2.merge([red, green, blue] if order == "RGB" else [blue, green, red], dst=colors)
        return Pixels(colors, _PLAIN[order])

    def _demosaiced(self, pixels: Pixels, order: str) -> Pixels:
        """Return the colours of a Bayer pattern, (H, W, 3), mixed linearly of neighbours."""
        pixel_format = pixels.format
        data = pixels.data
        if pixel_format.bits == 16:
            data = self._one_of_two(data, pixel_format.high_byte, None, Interpolation.NEAREST)
        colors = self._room("colors", *data.shape, 3)
        cv2.demosaicing(data, _BAYER[pixel_format.color_order[-4:], order], dst=colors)
        return Pixels(colors, _PLAIN[order])


def _is_quicker_in_pairs(
    source: tuple[int, int], size: tuple[int, int], interpolation: Interpolation
) -> bool:
    """Whether both bytes are resized sooner than one is picked: OpenCV has little for pairs."""
    if interpolation is Interpolation.LINEAR and source == (2 * size[0], 2 * size[1]):
        return False  # it takes the mean of four pixels, and of pairs one by one
    quick = interpolation in (Interpolation.LINEAR, Interpolation.NEAREST)
    return quick and size[0] * size[1] < source[0] * source[1]


def _is_quicker_in_blocks(
    source: tuple[int, int], size: tuple[int, int], interpolation: Interpolation
) -> bool:
    """Whether a Bayer pattern has a block of its four pixels for each that is wanted."""
    (width, height), half = source, (source[0] // 2, source[1] // 2)
    if width % 2 or height % 2 or half[0] < size[0] or half[1] < size[1]:
        return False
    return half == size or _is_quicker_in_pairs(half, size, interpolation)
