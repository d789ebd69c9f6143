from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jetson_detect.core.geometry import Alignment, ImageTransform, ResizeMode


@st.composite
def source_sizes(draw):
    """Width and height with aspect ratios from 1:8 to 8:1, single pixels included."""
    width = draw(st.integers(1, 5000))
    return width, draw(st.integers(max(1, math.ceil(width / 8)), min(5000, width * 8)))


sizes = source_sizes() | st.just((1, 1)) | st.tuples(st.integers(1, 8), st.just(1))
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


@given(sizes, inputs, st.sampled_from(ResizeMode), st.sampled_from(Alignment), st.data())
def test_any_box_comes_back_inside_the_image(source, network, mode, alignment, data):
    transform = ImageTransform.fit(source, network, mode, alignment)
    edge = st.floats(-1e4, 1e4, width=32)
    (left, right) = sorted((data.draw(edge), data.draw(edge)))
    (top, bottom) = sorted((data.draw(edge), data.draw(edge)))
    (x_min, y_min, x_max, y_max) = transform.boxes_to_source([[left, top, right, bottom]])[0]
    assert 0 <= x_min <= x_max <= source[0]
    assert 0 <= y_min <= y_max <= source[1]


angles = st.floats(-math.pi, math.pi)


@st.composite
def rotated_boxes(draw, source):
    """A box before its rotation, (1, 4), and its angle, (1,); no smaller than a pixel."""
    x, y = draw(st.floats(0, source[0])), draw(st.floats(0, source[1]))
    w, h = draw(st.floats(1, 5000)), draw(st.floats(1, 5000))
    box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
    return box, np.array([draw(angles)])


@given(sizes, inputs, st.sampled_from(ResizeMode), st.sampled_from(Alignment), st.data())
def test_a_rotated_box_survives_the_round_trip_for_any_size(source, network, mode, alignment, data):
    transform = ImageTransform.fit(source, network, mode, alignment)
    box, angle = data.draw(rotated_boxes(source))
    back, turned = transform.rotated_boxes_to_source(
        *transform.rotated_boxes_to_network(box, angle)
    )
    np.testing.assert_allclose(back, box, atol=1e-3)
    difference = (turned - angle + math.pi) % (2 * math.pi) - math.pi
    assert abs(difference[0]) < 1e-5


def corners_of(box, angle):
    """Corners by OpenCV, (4, 2), clockwise from the top left one before the rotation."""
    x1, y1, x2, y2 = (float(value) for value in box)
    rotation = cv2.getRotationMatrix2D(((x1 + x2) / 2, (y1 + y2) / 2), -math.degrees(angle), 1.0)
    upright = np.array([[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]])
    return cv2.transform(upright, rotation)[0]


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from(Alignment),
    st.floats(-math.pi, math.pi),
)
def test_under_equal_scales_all_corners_of_a_rotated_box_are_exact(wide, high, alignment, angle):
    # 100 source pixels for 64 of the network in both directions, with bars at one side.
    source = (wide * 100, high * 100)
    transform = ImageTransform.fit(source, (wide * 64 + 100, high * 64), alignment=alignment)
    box = [10.0, 20.0, 74.0, 52.0]
    offset = np.array([transform.content_x, transform.content_y])
    expected = (corners_of(box, angle) - offset) * 100 / 64
    mapped, turned = transform.rotated_boxes_to_source(np.array([box]), np.array([angle]))
    np.testing.assert_allclose(corners_of(mapped[0], turned[0]), expected, atol=1e-3)


@given(angles, st.integers(1, 2000), st.integers(1, 2000))
def test_a_stretched_rotated_box_keeps_its_centre_its_width_s_edge_and_its_area(angle, w, h):
    source, network = (w, h), (640, 480)
    transform = ImageTransform.fit(source, network, ResizeMode.STRETCH)
    scale = np.array([w / 640, h / 480])
    box = [100.0, 200.0, 180.0, 230.0]
    corners = corners_of(box, angle) * scale
    mapped, turned = transform.rotated_boxes_to_source(np.array([box]), np.array([angle]))
    x1, y1, x2, y2 = mapped[0].astype(float)
    np.testing.assert_allclose([(x1 + x2) / 2, (y1 + y2) / 2], corners.mean(axis=0), atol=1e-3)
    edge = corners[1] - corners[0]
    np.testing.assert_allclose(
        [(x2 - x1) * math.cos(turned[0]), (x2 - x1) * math.sin(turned[0])], edge, atol=2e-3
    )
    assert (x2 - x1) * (y2 - y1) == pytest.approx(80 * 30 * scale.prod(), rel=1e-3)


def test_a_quarter_turn_under_stretch_swaps_the_scales():
    # Twice as wide and as high as it is: an upright box of 40 x 20, turned by 90 degrees, reaches
    # 20 to the sides and 40 down; in the source 40 and 40.
    transform = ImageTransform.fit((200, 100), (100, 100), ResizeMode.STRETCH)
    boxes, turned = transform.rotated_boxes_to_source(
        np.array([[30.0, 40.0, 70.0, 60.0]]), np.array([math.pi / 2])
    )
    np.testing.assert_allclose(boxes, [[80, 30, 120, 70]], atol=1e-4)
    np.testing.assert_allclose(turned, [math.pi / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("box", "angle", "shown"),
    [
        ((10, 10, 30, 20), 0.3, True),
        ((-20, -20, 120, 120), 0.7, True),  # the image lies inside the box
        ((-30, 40, -1, 60), 0.0, False),
        ((-40, 45, 10, 55), 0.5, True),
        # A bar of 100 x 10 at 45 degrees left of the corner (0, 0): its hull overlaps the image,
        # it does not: its axis passes the corner at 20 / sqrt(2) = 14 px.
        ((-60, -5, 40, 5), -math.pi / 4, False),
        ((-51, -5, 49, 5), -math.pi / 4, True),  # at 1 / sqrt(2) px
        ((10, 10, 10, 30), 0.0, False),  # without area
    ],
)
def test_a_rotated_box_is_shown_if_any_part_of_it_is_in_the_image(box, angle, shown):
    transform = ImageTransform.fit((100, 100), (100, 100))
    assert transform.shows_rotated(np.array([box]), np.array([angle])).tolist() == [shown]


@given(angles, st.floats(-150, 250), st.floats(-150, 250), st.floats(1, 200), st.floats(1, 200))
def test_opencv_agrees_on_what_is_shown(angle, x, y, w, h):
    rectangle = ((x, y), (w, h), math.degrees(angle))
    image = ((50.0, 40.0), (100.0, 80.0), 0.0)
    kind, points = cv2.rotatedRectangleIntersection(rectangle, image)
    area = 0.0 if kind == cv2.INTERSECT_NONE else cv2.contourArea(cv2.convexHull(points))
    assume(kind == cv2.INTERSECT_NONE or area > 1e-2)  # float32 is not sure about touching ones
    box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
    transform = ImageTransform.fit((100, 80), (64, 64))
    assert transform.shows_rotated(box, np.array([angle]))[0] == (area > 0)


def test_no_rotated_boxes_are_no_problem():
    transform = ImageTransform.fit((100, 80), (64, 64))
    boxes, turned = transform.rotated_boxes_to_source(np.zeros((0, 4)), np.zeros(0))
    assert boxes.shape == (0, 4)
    assert transform.shows_rotated(boxes, turned).shape == (0,)


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
