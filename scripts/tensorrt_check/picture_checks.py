"""Checks of pictures made into tensors on the GPU: the same as on the CPU, and how fast."""

from __future__ import annotations

from functools import partial
from itertools import product

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


def camera_picture(
    source: SourceFormat, width: int, height: int, gap: int = 0
) -> tuple[NDArray[np.uint8], PictureLayout]:
    """Draw random bytes, (rows, step); ``gap`` bytes of each row are no pixels."""
    rows = source.rows_of_bytes(height)
    row_bytes = width * source.pixel_bytes
    raw = np.random.default_rng(7).integers(0, 256, (rows, row_bytes + gap), dtype=np.uint8)
    return raw, PictureLayout(source, width, height, rows, row_bytes, row_bytes + gap)


def pixels_of(raw: NDArray[np.uint8], layout: PictureLayout) -> Pixels:
    """Give the same picture to the CPU."""
    return Pixels.from_buffer(
        raw,
        width=layout.width,
        height=layout.height,
        step=layout.step,
        encoding=layout.format.encoding,
    )


def limit_of(source: SourceFormat, color_order: ColorOrder) -> int:
    """Return how far the kernel and the CPU may be apart, of 255: they round after each step.

    What is mixed before it becomes a colour is off by 1 then, which weighs up to 1.164 in grey and
    3.182 in a colour of NV24.
    """
    if color_order is ColorOrder.GRAY:
        return 2 if source > SourceFormat.MONO8 else 1
    return 4 if source is SourceFormat.NV24 else 1


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
        pixels, limit = pixels_of(raw, picture), limit_of(source, color_order)
        for kind, interpolation in product(kinds, interpolations):
            spec, tensor = input_of((97, 64), layout, color_order, kind, interpolation)
            expected, _ = Preprocessor(spec, tensor)(pixels)
            with letterbox_run(bench.library, raw, picture, spec, tensor) as run:
                found = run.result()
            off = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
            case = f"{source.name} {layout.value} {color_order.value} {tensor.dtype}"
            if not off <= limit:
                raise CheckFailed(f"{case} {interpolation.value}: off by {off:g} of 255")
            same.append(float((found == expected).mean()))
            count += 1
    return f"{count} cases off by rounding at most, {np.mean(same):.2%} of the bytes the same"


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
            prepare = partial(Preprocessor(spec, tensor), pixels_of(raw, picture))
            cpu = np.median(time_runs(prepare, 5, bench.runs))
            texts.append(f"CPU {cpu:.3f} ms, {cpu / max(kernel, 1e-6):.0f} times the kernel's")
    return "; ".join(texts)
