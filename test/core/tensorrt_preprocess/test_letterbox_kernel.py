"""The letterbox kernel, run on the CPU, against core/preprocess.py."""

from __future__ import annotations

import ctypes
import hashlib
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends.base import Quantization, TensorInfo
from jetson_detect.core.backends.tensorrt import sieve_kernel
from jetson_detect.core.backends.tensorrt.dtypes import Storage
from jetson_detect.core.backends.tensorrt.kernel import FOLDER
from jetson_detect.core.backends.tensorrt.letterbox_kernel import (
    NAME,
    ElementType,
    LetterboxTask,
    element_type_of,
)
from jetson_detect.core.backends.tensorrt.sampling import (
    renumbered,
    sampling_table,
    sources_of,
)
from jetson_detect.core.backends.tensorrt.source_format import PictureLayout, SourceFormat
from jetson_detect.core.geometry import Alignment, ImageTransform, ResizeMode
from jetson_detect.core.model import ColorOrder, InputSpec, Interpolation, Layout
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

KINDS = {np.float32: ElementType.FLOAT32, np.float16: ElementType.FLOAT16} | {
    np.uint8: ElementType.UINT8,
    np.int8: ElementType.INT8,
}


def spec_of(**changes: object) -> InputSpec:
    fields = {
        "width": 24,
        "height": 16,
        "layout": Layout.NHWC,
        "color_order": ColorOrder.BGR,
        "mean": (0.0, 0.0, 0.0),
        "scale": (1.0, 1.0, 1.0),
        **changes,
    }
    return InputSpec(**fields)


def tensor_of(spec: InputSpec, kind=np.float32, quantization=None) -> TensorInfo:
    shape = (spec.height, spec.width, spec.channels)
    if spec.layout is Layout.NCHW:
        shape = (spec.channels, spec.height, spec.width)
    return TensorInfo("image", (1, *shape), np.dtype(kind), quantization)


def camera_bytes(source: SourceFormat, width: int, height: int, gap: int = 0) -> np.ndarray:
    """(rows, step): random bytes; the last ``gap`` of each row are no pixels."""
    shape = (source.rows_of_bytes(height), width * source.pixel_bytes + gap)
    return np.random.default_rng(width * 1000 + height).integers(0, 256, shape, dtype=np.uint8)


def pixels_of(raw: np.ndarray, source: SourceFormat, width: int, height: int) -> Pixels:
    """The same picture for the CPU's way."""
    return Pixels.from_buffer(
        raw, width=width, height=height, step=raw.shape[1], encoding=source.encoding
    )


def run(kernel, raw, source, width, height, spec, tensor, element_type=None) -> np.ndarray:
    """Return what the kernel writes; the tensor is rubbish before."""
    transform = ImageTransform.fit(
        (width, height), (spec.width, spec.height), spec.resize, spec.alignment
    )
    columns = sampling_table(width, transform.content_width, spec.interpolation)
    rows = sampling_table(height, transform.content_height, spec.interpolation)
    kind = tensor.dtype if element_type is not ElementType.BFLOAT16 else np.uint16
    result = np.full(tensor.shape, 77, kind)
    task = LetterboxTask.for_input(spec, tensor, element_type or KINDS[tensor.dtype.type])
    task.source, task.tensor = raw.ctypes.data, result.ctypes.data
    task.columns, task.rows = columns.ctypes.data, rows.ctypes.data
    rows_of_bytes, step = raw.shape
    task.fit(PictureLayout(source, width, height, rows_of_bytes, step, step), transform)
    kernel.run_letterbox(ctypes.byref(task))
    return result


def check(kernel, source, width, height, spec, kind=np.float32, quantization=None, gap=0) -> float:
    """Compare with the CPU's way; return the share of numbers that are the same."""
    raw = camera_bytes(source, width, height, gap)
    tensor = tensor_of(spec, kind, quantization)
    expected, _ = Preprocessor(spec, tensor)(pixels_of(raw, source, width, height))
    found = run(kernel, raw, source, width, height, spec, tensor)
    of_a_byte = max(abs(scale) for scale in spec.scale)
    if quantization is not None:
        of_a_byte /= quantization.scale
    if np.issubdtype(kind, np.integer):
        of_a_byte = max(of_a_byte, 1) + 1  # and the rounding of both
    elif kind is np.float16:
        of_a_byte += 0.002 * np.abs(expected).max()
    off = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
    if spec.color_order is ColorOrder.GRAY and source > SourceFormat.MONO8:
        of_a_byte *= 2  # 1 before brightness is brought to the full range
    elif source is SourceFormat.NV24:
        of_a_byte *= 4  # 1 in Y, U and V: 1.164 and 2.018 in a colour, and its rounding
    assert off <= 1.0001 * of_a_byte
    return float((found == expected).mean())


def test_the_task_is_laid_out_as_in_the_source(kernel):
    assert ctypes.sizeof(LetterboxTask) == kernel.size_of_letterbox_task()


@pytest.mark.parametrize("name", [NAME, sieve_kernel.NAME])
def test_the_ptx_was_made_of_this_source_and_is_for_old_drivers_and_gpus(name):
    lines = (FOLDER / f"{name}.ptx").read_text().splitlines()
    digest = hashlib.sha256((FOLDER / f"{name}.cu").read_bytes()).hexdigest()
    assert lines[0] == f"// {name}.cu {digest}", "run scripts/compile_kernels.py"
    assert {".version 6.0", ".target sm_53", ".address_size 64"} <= set(lines)
    assert re.findall(r"^\.visible \.entry (\w+)\(", "\n".join(lines), re.MULTILINE) == [name]


@pytest.mark.parametrize("color_order", list(ColorOrder))
@pytest.mark.parametrize("source", list(SourceFormat))
@pytest.mark.parametrize("layout", list(Layout))
def test_each_encoding_gives_the_bytes_of_the_cpus_way(kernel, source, layout, color_order):
    one = (0.0,), (1.0,)
    mean, scale = one if color_order is ColorOrder.GRAY else ((0.0,) * 3, (1.0,) * 3)
    spec = spec_of(layout=layout, color_order=color_order, mean=mean, scale=scale)
    assert check(kernel, source, 46, 26, spec, gap=3) > 0.95


@pytest.mark.parametrize("source", list(SourceFormat))
def test_a_picture_of_the_networks_size_is_only_converted(kernel, source):
    assert check(kernel, source, 24, 16, spec_of()) == 1.0


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("layout", list(Layout))
def test_numbers_are_normalised_in_the_networks_own_colour_order(kernel, kind, layout):
    fraction = kind in (np.float32, np.float16)
    spec = spec_of(
        layout=layout,
        color_order=ColorOrder.RGB,
        mean=(123.7, 116.3, 103.5),
        scale=(1 / 58.4, 1 / 57.1, 1 / 57.4) if fraction else (0.5, 0.25, 1.0),
    )
    for source in (SourceFormat.BGR8, SourceFormat.RGBA8):
        check(kernel, source, 31, 17, spec, kind)


def test_a_quantised_input_gets_the_nearest_of_its_numbers(kernel):
    spec = spec_of(scale=(1 / 255,) * 3)
    quantization = Quantization(scale=1 / 255, zero_point=-128)
    assert check(kernel, SourceFormat.BGR8, 24, 16, spec, np.int8, quantization) == 1.0


def test_what_an_integer_cannot_hold_is_cut_off(kernel):
    spec = spec_of(mean=(100.0,) * 3, scale=(3.0,) * 3)
    for kind in (np.uint8, np.int8):
        assert check(kernel, SourceFormat.BGR8, 24, 16, spec, kind) == 1.0


def test_bfloat16_is_rounded_to_the_nearest(kernel):
    spec = spec_of(width=256, height=1, color_order=ColorOrder.GRAY, mean=(0.0,), scale=(1 / 255,))
    raw = np.arange(256, dtype=np.uint8)[None]
    found = run(
        kernel, raw, SourceFormat.MONO8, 256, 1, spec, tensor_of(spec), ElementType.BFLOAT16
    )
    real = (found.astype(np.uint32) << 16).view(np.float32).reshape(-1)
    exact = np.arange(256) / 255
    # 8 significant bits: half a step is at most 1/256 of the number.
    assert np.abs(real - exact).max() <= 2**-9
    assert (np.abs(real - exact)[1:] <= exact[1:] * 2**-8).all()


@settings(max_examples=120, deadline=None)
@given(
    source=st.sampled_from(list(SourceFormat)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    network=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(list(ResizeMode)),
    alignment=st.sampled_from(list(Alignment)),
    interpolation=st.sampled_from([Interpolation.LINEAR, Interpolation.NEAREST]),
    layout=st.sampled_from(list(Layout)),
    color_order=st.sampled_from(list(ColorOrder)),
    gap=st.integers(0, 7),
)
def test_any_size_is_fitted_as_on_the_cpu(
    kernel, source, size, network, resize, alignment, interpolation, layout, color_order, gap
):
    width, height = size
    columns, rows = source.pixel_format.shared
    width, height = width * columns, height * rows
    gray = color_order is ColorOrder.GRAY
    spec = spec_of(
        width=network[0],
        height=network[1],
        resize=resize,
        alignment=alignment,
        interpolation=interpolation,
        layout=layout,
        color_order=color_order,
        mean=(0.0,) * (1 if gray else 3),
        scale=(1.0,) * (1 if gray else 3),
        padding_value=9,
    )
    same = check(kernel, source, width, height, spec, gap=gap)
    if interpolation is Interpolation.NEAREST:
        assert same == 1.0


@given(st.integers(1, 5000), st.integers(1, 2000))
def test_no_neighbour_is_read_beyond_the_last_pixel(source, target):
    table = sampling_table(source, target)
    index, weight = table >> 12, table & 4095
    assert (index + (weight > 0) < source).all()
    assert (weight <= 2048).all()
    assert (np.diff(index.astype(np.int64)) >= 0).all()


@given(st.integers(1, 3000), st.integers(1, 1000))
def test_a_table_for_the_rows_that_are_left_reads_the_same_rows(source, target):
    table = sampling_table(source, target)
    sources = sources_of(table)
    assert sources.size == np.unique(sources).size <= min(source, 2 * target)
    left = renumbered(table, sources)
    weight = table & 4095
    assert (left & 4095 == weight).all()
    assert (sources[left >> 12] == table >> 12).all()
    beside = weight > 0
    assert (sources[(left >> 12)[beside] + 1] == (table >> 12)[beside] + 1).all()


@pytest.mark.parametrize(("source", "target"), [(1920, 640), (1080, 360), (3, 7), (5, 5), (7, 3)])
def test_the_nearest_pixels_are_those_that_opencv_takes(source, target):
    positions = np.arange(source, dtype=np.float32)[None]
    expected = cv2.resize(positions, (target, 1), interpolation=cv2.INTER_NEAREST)[0]
    table = sampling_table(source, target, Interpolation.NEAREST)
    assert (table >> 12).tolist() == expected.astype(int).tolist()
    assert not (table & 4095).any()


def test_a_type_that_the_kernel_cannot_write_has_no_element_type():
    float32, uint16, int32 = np.dtype(np.float32), np.dtype(np.uint16), np.dtype(np.int32)
    assert element_type_of(Storage(uint16, float32)) is ElementType.BFLOAT16
    assert element_type_of(Storage(float32, float32)) is ElementType.FLOAT32
    assert element_type_of(Storage(int32, int32)) is None
