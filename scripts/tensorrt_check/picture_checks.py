"""Checks of pictures made into tensors on the GPU: the same as on the CPU, and how fast."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends import TensorInfo
from jetson_detect.core.backends.tensorrt.source_format import PictureLayout, SourceFormat
from jetson_detect.core.model import ColorOrder, InputSpec, Interpolation, Layout
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.timing import time_runs

from .bench import Bench
from .check import CheckFailed
from .letterbox_runs import letterbox_run

FULL_HD = (1920, 1080)
NETWORK = (640, 640)

_TO_BGR = {
    SourceFormat.YUYV: cv2.COLOR_YUV2BGR_YUY2,
    SourceFormat.UYVY: cv2.COLOR_YUV2BGR_UYVY,
    SourceFormat.NV12: cv2.COLOR_YUV2BGR_NV12,
}
_TO_GRAY = {
    SourceFormat.YUYV: cv2.COLOR_YUV2GRAY_YUY2,
    SourceFormat.UYVY: cv2.COLOR_YUV2GRAY_UYVY,
    SourceFormat.NV12: cv2.COLOR_YUV2GRAY_NV12,
}


def camera_picture(
    source: SourceFormat, width: int, height: int, gap: int = 0
) -> tuple[NDArray[np.uint8], PictureLayout]:
    """Draw random bytes, (rows, step); ``gap`` bytes of each row are no pixels."""
    rows = height * 3 // 2 if source is SourceFormat.NV12 else height
    row_bytes = width * source.pixel_bytes
    raw = np.random.default_rng(7).integers(0, 256, (rows, row_bytes + gap), dtype=np.uint8)
    return raw, PictureLayout(source, width, height, rows, row_bytes, row_bytes + gap)


def pixels_of(raw: NDArray[np.uint8], layout: PictureLayout, gray: bool) -> Pixels:
    """Give the same picture to the CPU, which gets YUV converted by OpenCV."""
    source, channels = layout.format, layout.format.pixel_bytes
    packed = np.ascontiguousarray(raw[:, : layout.row_bytes])
    if channels > 1:
        packed = packed.reshape(layout.rows, layout.width, channels)
    if source not in _TO_BGR:
        return Pixels.from_array(packed, source.name.lower())
    code, encoding = (_TO_GRAY[source], "mono8") if gray else (_TO_BGR[source], "bgr8")
    converted: NDArray[Any] = cv2.cvtColor(packed, code)
    return Pixels.from_array(converted, encoding)


def input_of(
    size: tuple[int, int],
    layout: Layout,
    color_order: ColorOrder,
    dtype: type[np.generic],
    interpolation: Interpolation = Interpolation.LINEAR,
) -> tuple[InputSpec, TensorInfo]:
    """Make an input of a type that takes bytes as they are."""
    channels = 1 if color_order is ColorOrder.GRAY else 3
    spec = InputSpec(
        *size,
        layout,
        color_order,
        mean=(128.0 if dtype is np.int8 else 0.0,) * channels,
        scale=(1.0,) * channels,
        interpolation=interpolation,
    )
    area = (spec.height, spec.width)
    shape = (1, *area, channels) if layout is Layout.NHWC else (1, channels, *area)
    return spec, TensorInfo("image", shape, np.dtype(dtype))


def check_letterbox(bench: Bench) -> str:
    """Compare the kernel with the CPU's way for all encodings, layouts, orders and types."""
    count, same = 0, []
    kinds: tuple[type[np.generic], ...] = (np.float32, np.float16, np.uint8, np.int8)
    interpolations = (Interpolation.LINEAR, Interpolation.NEAREST)
    for source, layout, color_order in product(SourceFormat, Layout, ColorOrder):
        raw, picture = camera_picture(source, 322, 182, gap=5)
        pixels = pixels_of(raw, picture, color_order is ColorOrder.GRAY)
        for kind, interpolation in product(kinds, interpolations):
            spec, tensor = input_of((97, 64), layout, color_order, kind, interpolation)
            expected, _ = Preprocessor(spec, tensor)(pixels)
            with letterbox_run(bench.library, raw, picture, spec, tensor) as run:
                found = run.result()
            off = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
            case = f"{source.name} {layout.value} {color_order.value} {tensor.dtype}"
            if not off <= 1:
                raise CheckFailed(f"{case} {interpolation.value}: off by {off:g} of 255")
            same.append(float((found == expected).mean()))
            count += 1
    return f"{count} cases off by 1 of 255 at most, {np.mean(same):.2%} of the bytes the same"


def check_letterbox_timing(bench: Bench) -> str:
    """Time 1080p to 640: the kernel and the upload on the GPU, and the CPU's way."""
    texts = []
    for source in (SourceFormat.BGR8, SourceFormat.NV12):
        raw, picture = camera_picture(source, *FULL_HD)
        spec, tensor = input_of(NETWORK, Layout.NCHW, ColorOrder.RGB, np.float32)
        with letterbox_run(bench.library, raw, picture, spec, tensor) as run:
            kernel = np.median([run.gpu_ms("launch", bench.runs) for _ in range(5)])
            upload = np.median([run.gpu_ms("upload", bench.runs) for _ in range(5)])
        texts.append(f"{source.name}: kernel {kernel:.4f} ms, upload {upload:.4f} ms")
        if source is SourceFormat.BGR8:
            prepare = partial(Preprocessor(spec, tensor), pixels_of(raw, picture, False))
            cpu = np.median(time_runs(prepare, 5, bench.runs))
            texts.append(f"CPU {cpu:.3f} ms, {cpu / max(kernel, 1e-6):.0f} times the kernel's")
    return "; ".join(texts)
