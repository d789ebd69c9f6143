#!/usr/bin/env python3
"""What a frame of each camera encoding costs on the CPU until it is a network's input.

Usage: encoding_costs.py [--size WxH] [--network N] [--runs N]

Beside it, as a ratio, what it would cost to convert the whole frame before it is resized, and what
a bgr8 frame costs.  Of NV12 also the way that is not taken: colours resized apart from brightness.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.encodings import PIXEL_FORMATS
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.timing import time_runs

ENCODINGS = (
    "bgr8",
    "mono8",
    "mono16",
    "rgb16",
    "yuyv",
    "nv12",
    "nv24",
    "bayer_rggb8",
    "bayer_rggb16",
)


def random_picture(encoding: str, width: int, height: int) -> Pixels:
    """Draw a picture of random bytes."""
    step = width * PIXEL_FORMATS[encoding].pixel_bytes
    data = np.random.default_rng(0).integers(0, 256, 3 * step * height, dtype=np.uint8)
    return Pixels.from_buffer(data, width=width, height=height, step=step, encoding=encoding)


def preprocessor(network: int, order: ColorOrder) -> Preprocessor:
    """Make one for a network that takes floats in planes."""
    channels = 1 if order is ColorOrder.GRAY else 3
    spec = InputSpec(
        network, network, Layout.NCHW, order, mean=(0.0,) * channels, scale=(1 / 255,) * channels
    )
    return Preprocessor(spec, TensorInfo("x", spec.tensor_shape, np.dtype(np.float32)))


def in_turns_ms(runs: int, *ways: Callable[[], object]) -> list[float]:
    """Return the median of each, which take turns so that all see the same machine."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(10):
        for kept, way in zip(times, ways):
            kept.extend(time_runs(way, 2, runs))
    return [float(np.median(kept)) for kept in times]


def apart(pixels: Pixels, size: tuple[int, int]) -> Callable[[], object]:
    """Resize brightness and colours of NV12 by themselves, then convert them."""
    (width, height), convert = size, PixelConverter()
    chroma = pixels.chroma
    assert chroma is not None

    def run() -> object:
        planes = [cv2.resize(plane, size) for plane in (pixels.data, chroma)]
        below = np.asarray(planes[1], np.uint8).reshape(2 * height, width)
        array: NDArray[np.uint8] = np.concatenate([np.asarray(planes[0], np.uint8), below])
        return convert(Pixels.from_array(array, "nv24"), "RGB")

    return run


def costs_of(
    encoding: str, size: tuple[int, int], network: int, order: ColorOrder, runs: int
) -> str:
    """Measure an encoding, and put it into a line."""
    pixels, usual = (random_picture(name, *size) for name in (encoding, "bgr8"))
    ours, after, plain = (preprocessor(network, order) for _ in range(3))
    convert = PixelConverter()
    ways: list[Callable[[], object]] = [
        lambda: ours(pixels),
        lambda: after(convert(pixels, order.value)),
        lambda: plain(usual),
    ]
    if order is ColorOrder.RGB and encoding == "nv12":
        scale = min(network / size[0], network / size[1])
        content = (round(size[0] * scale), round(size[1] * scale))
        small = Pixels.from_array(np.zeros((content[1], content[0], 3), np.uint8), "rgb8")
        rest = preprocessor(network, order)
        ways += [apart(pixels, content), lambda: rest(small)]
    cost, whole, bgr, *other = in_turns_ms(runs, *ways)
    line = f"{order.value:5}{encoding:12} {cost:6.3f} {cost / whole:6.2f} {cost / bgr:6.2f}"
    return f"{line}   apart: {sum(other) / cost:.2f} of it" if other else line


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1920x1080", help="of the pictures (%(default)s)")
    parser.add_argument("--network", type=int, default=640, help="width and height (%(default)s)")
    parser.add_argument("--runs", type=int, default=20, help="in each of ten rounds (%(default)s)")
    options = parser.parse_args()
    width, height = (int(number) for number in options.size.split("x"))
    print(f"{width}x{height} to {options.network}: ms, beside the whole converted first, and bgr8")
    for order in (ColorOrder.RGB, ColorOrder.GRAY):
        for encoding in ENCODINGS:
            print(costs_of(encoding, (width, height), options.network, order, options.runs))


if __name__ == "__main__":
    main()
