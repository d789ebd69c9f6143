from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core import resizing
from jetson_detect.core.model import Interpolation

FLAGS = {
    Interpolation.LINEAR: cv2.INTER_LINEAR,
    Interpolation.AREA: cv2.INTER_AREA,
    Interpolation.NEAREST: cv2.INTER_NEAREST,
    Interpolation.CUBIC: cv2.INTER_CUBIC,
}


def picture(width: int, height: int, channels: int = 3) -> np.ndarray:
    """Noise, with rows that do not follow each other in memory."""
    noise = np.random.default_rng(width).integers(0, 256, (height, width + 2, channels), np.uint8)
    return noise[:, 1:-1, 0] if channels == 1 else noise[:, 1:-1]


def resized(source: np.ndarray, width: int, height: int, interpolation: Interpolation):
    """Resize into the middle of another picture."""
    canvas = np.full((height + 2, width + 2, *source.shape[2:]), 7, np.uint8)
    resizing.resize(source, canvas[1:-1, 1:-1], interpolation)
    border = canvas.copy()
    border[1:-1, 1:-1] = 7
    assert (border == 7).all()
    return canvas[1:-1, 1:-1]


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3, 4]),
)
def test_a_side_shrunk_to_a_whole_part_of_it_is_what_opencv_interpolates(
    width, height, step_x, step_y, channels
):
    source = picture(width * step_x, height * step_y, channels)
    np.testing.assert_array_equal(
        resized(source, width, height, Interpolation.LINEAR),
        cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR),
    )


@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("size", [(192, 108), (128, 72), (100, 99)])
def test_shrinking_is_opencvs(interpolation, size):
    source = picture(*size)
    np.testing.assert_array_equal(
        resized(source, 64, 36, interpolation),
        cv2.resize(source, (64, 36), interpolation=FLAGS[interpolation]),
    )


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 20),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3, 4]),
)
def test_shrunk_by_area_a_pixel_is_the_mean_of_those_that_it_was_made_of(
    width, height, step_x, step_y, channels
):
    source = picture(width * step_x, height * step_y, channels)
    blocks = source.reshape(height, step_y, width, step_x, -1)
    mean = blocks.mean(axis=(1, 3)).reshape(height, width, *source.shape[2:])
    found = resized(source, width, height, Interpolation.AREA)
    # Rounded once, and once more each time that it was halved.
    assert np.abs(found - mean).max() <= 0.5 * (1 + np.log2(np.gcd(step_x, step_y)))


def test_a_fourth_of_a_picture_is_made_by_halves(monkeypatch):
    sizes = []
    opencv = cv2.resize

    def watched(source, size, **options):
        sizes.append(size)
        return opencv(source, size, **options)

    monkeypatch.setattr(cv2, "resize", watched)
    resized(picture(640, 480), 160, 120, Interpolation.AREA)
    resized(picture(640, 240), 320, 120, Interpolation.AREA)
    resized(picture(1920, 720), 160, 60, Interpolation.AREA)
    assert sizes == [(320, 240), (160, 120), (320, 120), (960, 360), (480, 180), (160, 60)]


def test_what_is_enlarged_by_area_is_enlarged_linearly():
    source = picture(10, 30)
    np.testing.assert_array_equal(
        resized(source, 15, 10, Interpolation.AREA),
        cv2.resize(source, (15, 10), interpolation=cv2.INTER_LINEAR),
    )


def test_only_the_pixels_that_are_needed_are_read(monkeypatch):
    asked = []
    opencv = cv2.resize

    def watched(source, *args, **options):
        asked.append((source.shape[:2], options["interpolation"]))
        return opencv(source, *args, **options)

    source = picture(1920, 1080)
    resized(source, 640, 360, Interpolation.LINEAR)  # whether it can be done is asked once
    monkeypatch.setattr(cv2, "resize", watched)
    resized(source, 640, 360, Interpolation.LINEAR)
    assert asked == [((360, 1919), cv2.INTER_NEAREST)]


def test_an_opencv_that_picks_other_pixels_is_not_made_to(monkeypatch):
    opencv = cv2.resize

    def left_ones(source, size, dst=None, interpolation=None, **options):
        if interpolation == cv2.INTER_NEAREST:
            source = np.roll(source, 1, axis=1)
        return opencv(source, size, dst=dst, interpolation=interpolation, **options)

    source = picture(3 * 37, 3 * 5)  # of a width that no other test has asked about
    expected = cv2.resize(source, (37, 5), interpolation=cv2.INTER_LINEAR)
    monkeypatch.setattr(cv2, "resize", left_ones)
    np.testing.assert_array_equal(resized(source, 37, 5, Interpolation.LINEAR), expected)
