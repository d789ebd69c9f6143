"""From a picture to the network's tensor, as others do it and as this package does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

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
from jetson_detect.core.camera_views import Viewer
from jetson_detect.core.compressed_pictures import COLOR_FLAGS, CompressedPicture, has_simplejpeg
from jetson_detect.core.geometry import ResizeMode
from jetson_detect.core.model import ColorOrder, InputSpec, Interpolation, Layout
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.reused_memory import ReusedMemory

NAME = "preprocess"
FULL_SIZE, RESIZED, OURS = "float at full size", "letterbox, float, transpose", "ours"
USUALLY_DECODED = "OpenCV, then as usual"
OPENCV_WHOLE, OPENCV_REDUCED, SIMPLEJPEG_WHOLE = "OpenCV", "OpenCV, reduced", "simplejpeg"
_JPEG_QUALITY = 90

Acts: TypeAlias = dict[str, Callable[[], NDArray[np.float32]]]
"""What makes a tensor, by the way in which it does."""


@dataclass(frozen=True)
class PreprocessLevel:
    """What is preprocessed, and for what."""

    sizes: tuple[str, ...] = ("480p", "720p", "1080p", "4k")
    """Of the pictures, keys of :data:`SIZES`."""
    jpeg_sizes: tuple[str, ...] = ("1080p",)
    """Those of the sizes that are also decoded."""
    network_sizes: tuple[int, ...] = (320, 640)
    """Width and height of the network's input: (1, 3, size, size), RGB from 0 to 1, float32."""
    area_sizes: tuple[str, ...] = sizes
    """Of the pictures that are shrunk by area."""
    area_size: int = 160
    """That of a small network, for which pictures are shrunk by area."""


def measure_preprocessing(level: PreprocessLevel, repeats: Repeats) -> Section:
    """Letterbox pictures of each size to each input, all ways in turns, on one thread each.

    OpenCV's threads wait actively: what they cost depends on who else wants their cores.
    """
    with _one_thread():
        costs = [
            CostRow(case, way, "µs CPU", rounds)
            for case, acts in _cases(level)
            for way, rounds in cpu_costs_us(acts, repeats).items()
        ]
    decoded = not set(level.sizes).isdisjoint(level.jpeg_sizes)
    return Section(
        NAME,
        "bgr8 picture to a float32 RGB tensor of planes from 0 to 1, letterboxed, on one thread",
        costs=tuple(costs),
        ratios=compare_costs(NAME, costs, OURS),
        notes=("simplejpeg, which is not installed",) if decoded and not has_simplejpeg() else (),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _cases(level: PreprocessLevel) -> Iterator[tuple[str, Acts]]:
    for network_size in level.network_sizes:
        for name in level.sizes:
            size = SIZES[name]
            yield f"{size_text(size)} to {network_size}", preprocessing_acts(size, network_size)
            if name in level.jpeg_sizes:
                yield f"{size_text(size)} JPEG to {network_size}", decoding_acts(size, network_size)
    for name in level.area_sizes:
        case = f"{size_text(SIZES[name])} by area to {level.area_size}"
        yield case, preprocessing_acts(SIZES[name], level.area_size, Interpolation.AREA)


def preprocessing_acts(
    size: tuple[int, int], network_size: int, interpolation: Interpolation = Interpolation.LINEAR
) -> Acts:
    """Return what makes the same tensor of the same picture, by the way in which it does.

    Parameters
    ----------
    size:
        Width and height of the picture.
    network_size:
        Width and height of the tensor.
    interpolation:
        Linear, or by area; then the tensors are the same but for rounding.

    """
    picture = draw_picture(size)
    pixels = Pixels.from_array(picture)
    preprocess = _preprocessor(replace(_input_spec(network_size), interpolation=interpolation))
    flag = cv2.INTER_AREA if interpolation is Interpolation.AREA else cv2.INTER_LINEAR
    return {
        FULL_SIZE: lambda: _float_first(picture, network_size, flag),
        RESIZED: lambda: letterbox_and_scale(picture, network_size, flag),
        OURS: lambda: preprocess(pixels)[0],
    }


def decoding_acts(size: tuple[int, int], network_size: int) -> Acts:
    """Return what makes a tensor of the same JPEG picture, by the way in which it is decoded.

    Parameters
    ----------
    size:
        Width and height of the picture.
    network_size:
        Width and height of the tensor.

    """
    quality = (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)
    data = np.asarray(cv2.imencode(".jpg", draw_picture(size), quality)[1], np.uint8)
    picture = CompressedPicture.read(data)
    spec = _input_spec(network_size)
    preprocess = _preprocessor(spec)
    viewer, memory = Viewer(), ReusedMemory()
    reduction = viewer.look(picture, spec).geometry.reduction

    def decode(times_smaller: int = 1) -> NDArray[np.uint8]:
        return np.asarray(cv2.imdecode(data, COLOR_FLAGS[times_smaller]), np.uint8)

    def to_tensor(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return preprocess(Pixels.from_array(image))[0]

    acts = {
        USUALLY_DECODED: lambda: letterbox_and_scale(decode(), network_size),
        OPENCV_WHOLE: lambda: to_tensor(decode()),
        OPENCV_REDUCED: lambda: to_tensor(decode(reduction)),
        OURS: lambda: preprocess(viewer.look(picture, spec).pixels)[0],
    }
    if has_simplejpeg():
        acts[SIMPLEJPEG_WHOLE] = lambda: preprocess(picture.decode(1, memory))[0]
    return acts


def _input_spec(network_size: int) -> InputSpec:
    return InputSpec(
        network_size,
        network_size,
        Layout.NCHW,
        ColorOrder.RGB,
        mean=(0.0,) * 3,
        scale=(1 / 255,) * 3,
        resize=ResizeMode.LETTERBOX,
        padding_value=PADDING,
    )


def _preprocessor(spec: InputSpec) -> Preprocessor:
    return Preprocessor(spec, TensorInfo("images", spec.tensor_shape, np.dtype(np.float32)))


def _float_first(picture: NDArray[np.uint8], size: int, interpolation: int) -> NDArray[np.float32]:
    """Scale all pixels before most of them are thrown away, which one sees surprisingly often."""
    scaled = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0
    left, top, width, height, _ = fit(picture.shape[1], picture.shape[0], size)
    canvas = np.full((size, size, 3), PADDING / 255, np.float32)
    resized = cv2.resize(scaled, (width, height), interpolation=interpolation)
    canvas[top : top + height, left : left + width] = resized
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
