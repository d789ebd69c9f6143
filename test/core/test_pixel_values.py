from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends.base import Quantization, TensorInfo
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixel_values import channel_writer, table_writer, value_tables

EVERY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def table(dtype, mean=0.0, scale=1.0, quantization=None) -> np.ndarray:
    spec = InputSpec(
        width=8,
        height=8,
        layout=Layout.NHWC,
        color_order=ColorOrder.GRAY,
        mean=(mean,),
        scale=(scale,),
    )
    info = TensorInfo("image", (1, 8, 8, 1), np.dtype(dtype), quantization)
    (values,) = value_tables(spec, info)
    return values


def written(write, dtype, pixels=EVERY) -> np.ndarray:
    """Write into the middle of something larger."""
    canvas = np.full((pixels.shape[0] + 2, pixels.shape[1] + 3, *pixels.shape[2:]), 3, dtype)
    content = canvas[1:-1, 2:-1]
    write(pixels, content)
    values = content.copy()
    content[...] = 3
    assert (canvas == 3).all()
    return values


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int32, np.float16, np.float32, np.float64]),
    st.sampled_from([0.0, 127.5, 128.0, 123.675, 1e-3]),
    st.sampled_from([1.0, 1 / 255, 1 / 127.5, 1 / 58.395, 0.017, 1e-9, 100.0, 0.0, -1.0]),
)
def test_values_are_those_of_the_table_to_the_last_bit(dtype, mean, scale):
    expected = table(dtype, mean, scale)
    values = written(channel_writer(expected, mean, scale), dtype)
    np.testing.assert_array_equal(values.reshape(-1), expected)


@pytest.mark.parametrize(
    ("mean", "scale"), [(0.0, 1.0), (0.0, 1 / 255), (127.5, 1 / 127.5), (0.0, 0.5), (128.0, -2.0)]
)
def test_the_usual_scales_need_no_table(mean, scale, monkeypatch):
    write = channel_writer(table(np.float32, mean, scale), mean, scale)
    monkeypatch.delattr(cv2, "LUT")
    expected = ((EVERY - np.float64(mean)) * scale).astype(np.float32)
    np.testing.assert_array_equal(written(write, np.float32), expected)


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.uint8, 0), (np.int8, -128)])
def test_bytes_that_stay_bytes_need_no_table(dtype, zero_point, monkeypatch):
    scale = 1 / 255
    write = channel_writer(table(dtype, 0.0, scale, Quantization(scale, zero_point)), 0.0, scale)
    monkeypatch.delattr(cv2, "LUT")
    np.testing.assert_array_equal(written(write, dtype), EVERY.astype(np.int16) + zero_point)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.int64])
def test_each_channel_has_a_table_of_its_own(dtype):
    tables = np.stack([table(dtype, mean, 0.4) for mean in (0.0, 10.0, 20.0)], axis=-1)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    values = written(table_writer(tables[None]), dtype, pixels)
    for channel in range(3):
        np.testing.assert_array_equal(values[..., channel], tables[pixels[..., channel], channel])


def test_types_that_opencv_does_not_know_are_written_too():
    expected = table(np.int64, 0.0, 1000.0)
    values = written(channel_writer(expected, 0.0, 1000.0), np.int64)
    assert values.reshape(-1).tolist() == [1000 * pixel for pixel in range(256)]
