from __future__ import annotations

import numpy as np

from jetson_detect.core.detections import Detections


def turned(angle: float) -> Detections:
    """40 x 20 about (50, 60)."""
    return Detections(
        np.array([[30, 50, 70, 70]], np.float32),
        np.array([[0.9, 0.1]], np.float32),
        np.array([[2, 1]], np.int32),
        np.array([angle], np.float32),
    )


def test_corners_go_clockwise_from_the_top_left():
    expected = [[[30, 50], [70, 50], [70, 70], [30, 70]]]
    np.testing.assert_array_equal(turned(0.0).corners(), expected)


def test_a_positive_angle_turns_x_towards_y():
    # A quarter turn takes the arm (-20, -10) to (10, -20): the top left corner goes to the right.
    expected = [[[60, 40], [60, 80], [40, 80], [40, 40]]]
    np.testing.assert_allclose(turned(np.pi / 2).corners(), expected, atol=1e-4)


def test_the_upright_box_holds_the_rotated_one():
    half = (20 + 10) * np.sqrt(0.5)
    upright = turned(np.pi / 4).upright()
    np.testing.assert_allclose(
        upright.boxes, [[50 - half, 60 - half, 50 + half, 60 + half]], atol=1e-4
    )
    assert upright.angles is None
    assert upright.scores.tolist() == turned(0).scores.tolist()


def test_what_is_upright_stays_as_it_is():
    empty = Detections.empty()
    assert empty.upright() is empty
    assert empty.corners().shape == (0, 4, 2)
