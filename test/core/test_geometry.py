from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.geometry import Alignment, ImageTransform, ResizeMode

sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
inputs = st.tuples(st.integers(1, 1280), st.integers(1, 1280))


def test_letterbox_of_a_wide_image_is_centred_between_bars_above_and_below():
    transform = ImageTransform.fit((1920, 1080), (640, 640))
    assert (transform.content_x, transform.content_y) == (0, 140)
    assert (transform.content_width, transform.content_height) == (640, 360)
    assert transform.scale == (1 / 3, 1 / 3)


def test_letterbox_aligned_to_the_top_left_has_its_bars_right_and_below():
    transform = ImageTransform.fit((480, 960), (640, 640), alignment=Alignment.TOP_LEFT)
    assert (transform.content_x, transform.content_y) == (0, 0)
    assert (transform.content_width, transform.content_height) == (320, 640)


def test_stretch_scales_each_axis_on_its_own():
    transform = ImageTransform.fit((1920, 1080), (640, 640), ResizeMode.STRETCH)
    boxes = transform.boxes_to_source(np.array([[0, 0, 640, 640], [64, 64, 128, 128]]))
    np.testing.assert_array_equal(boxes, [[0, 0, 1920, 1080], [192, 108, 384, 216]])


def test_a_letterboxed_box_comes_back_in_source_pixels():
    transform = ImageTransform.fit((1920, 1080), (640, 640))
    boxes = transform.boxes_to_source(np.array([[100.0, 200.0, 300.0, 400.0]]))
    np.testing.assert_allclose(boxes, [[300.0, 180.0, 900.0, 780.0]], atol=1e-4)


def test_the_rounding_of_the_resized_size_does_not_shift_boxes():
    # 333 px high content: 500 * 640 / 960 = 333.33 is not whole, the resize used 333.
    transform = ImageTransform.fit((960, 500), (640, 640))
    assert transform.content_height == 333
    whole = np.array([[0, transform.content_y, 640, transform.content_y + 333]])
    np.testing.assert_array_equal(transform.boxes_to_source(whole), [[0, 0, 960, 500]])


def test_boxes_are_clipped_to_the_image_unless_told_otherwise():
    transform = ImageTransform.fit((100, 100), (100, 100))
    box = np.array([[-10.0, 20.0, 120.0, 130.0]])
    np.testing.assert_array_equal(transform.boxes_to_source(box), [[0, 20, 100, 100]])
    np.testing.assert_array_equal(transform.boxes_to_source(box, clip=False), box)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match=r"cannot fit an image of \(0, 480\)"):
        ImageTransform.fit((0, 480), (640, 640))


@given(sizes, inputs, st.sampled_from(ResizeMode), st.sampled_from(Alignment), st.data())
def test_a_box_survives_the_round_trip_for_any_size(source, network, mode, alignment, data):
    transform = ImageTransform.fit(source, network, mode, alignment)
    xs = st.floats(0, source[0], width=32)
    ys = st.floats(0, source[1], width=32)
    (left, right) = sorted((data.draw(xs), data.draw(xs)))
    (top, bottom) = sorted((data.draw(ys), data.draw(ys)))
    box = np.array([[left, top, right, bottom]])
    there = transform.boxes_to_network(box)
    np.testing.assert_allclose(transform.boxes_to_source(there), box, atol=1e-3)


@given(sizes, inputs, st.sampled_from(Alignment))
def test_the_content_lies_inside_the_input_and_touches_two_opposite_sides(
    source, network, alignment
):
    transform = ImageTransform.fit(source, network, ResizeMode.LETTERBOX, alignment)
    assert transform.content_x >= 0
    assert transform.content_y >= 0
    assert transform.content_x + transform.content_width <= network[0]
    assert transform.content_y + transform.content_height <= network[1]
    assert transform.content_width == network[0] or transform.content_height == network[1]
