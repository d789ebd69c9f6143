"""From a picture to the network's tensor, as others do it and as this package does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.benchmark.cost_ratios import compare_costs
from jetson_detect.benchmark.nodes.letterboxing import PADDING, fit
from jetson_detect.benchmark.nodes.plain_node import letterbox_and_scale
from jetson_detect.benchmark.picture import SIZES, draw_picture, size_text
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import CostRow
from jetson_detect.benchmark.turns import cpu_costs_us
from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.geometry import ResizeMode
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

NAME = "preprocess"
FULL_SIZE, RESIZED, OURS = "float at full size", "letterbox, float, transpose", "ours"


@dataclass(frozen=True)
class PreprocessLevel:
    """What is preprocessed, and for what."""

    sizes: tuple[str, ...] = ("480p", "720p", "1080p", "4k")
    """Of the pictures, keys of :data:`SIZES`."""
    network_sizes: tuple[int, ...] = (320, 640)
    """Width and height of the network's input: (1, 3, size, size), RGB from 0 to 1, float32."""


def measure_preprocessing(level: PreprocessLevel, repeats: Repeats) -> Section:
    """Letterbox pictures of each size to each input, all ways in turns."""
    costs = []
    for network_size in level.network_sizes:
        for name in level.sizes:
            size = SIZES[name]
            case = f"{size_text(size)} to {network_size}"
            acts = preprocessing_acts(size, network_size)
            for way, rounds in cpu_costs_us(acts, repeats).items():
                costs.append(CostRow(case, way, "µs CPU", rounds))
    return Section(
        NAME,
        "bgr8 picture to a float32 RGB tensor of planes from 0 to 1, letterboxed, on the CPU",
        costs=tuple(costs),
        ratios=compare_costs(NAME, costs, OURS),
    )


def preprocessing_acts(
    size: tuple[int, int], network_size: int
) -> dict[str, Callable[[], NDArray[np.float32]]]:
    """Return what makes the same tensor of the same picture, by the way in which it does.

    Parameters
    ----------
    size:
        Width and height of the picture.
    network_size:
        Width and height of the tensor.

    """
    picture = draw_picture(size)
    pixels = Pixels.from_array(picture)
    spec = InputSpec(
        network_size,
        network_size,
        Layout.NCHW,
        ColorOrder.RGB,
        mean=(0.0,) * 3,
        scale=(1 / 255,) * 3,
        resize=ResizeMode.LETTERBOX,
        padding_value=PADDING,
    )
    shape = (1, 3, network_size, network_size)
    preprocess = Preprocessor(spec, TensorInfo("images", shape, np.dtype(np.float32)))
    return {
        FULL_SIZE: lambda: _float_first(picture, network_size),
        RESIZED: lambda: letterbox_and_scale(picture, network_size),
        OURS: lambda: preprocess(pixels)[0],
    }


def _float_first(picture: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Scale all pixels before most of them are thrown away, which one sees surprisingly often."""
    scaled = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0
    left, top, width, height, _ = fit(picture.shape[1], picture.shape[0], size)
    canvas = np.full((size, size, 3), PADDING / 255, np.float32)
    canvas[top : top + height, left : left + width] = cv2.resize(scaled, (width, height))
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
