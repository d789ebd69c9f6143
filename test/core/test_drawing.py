from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import class_color, draw_detections, to_bgr
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.statistics import class_label


def found(*rows: tuple[float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    scores = np.linspace(0.9, 0.5, len(table), dtype=np.float32)
    return Detections.from_best(table[:, :4], scores, table[:, 4].astype(np.int32))


def test_the_border_of_a_box_has_the_colour_of_its_class():
    image = draw_detections(
        np.zeros((200, 300, 3), np.uint8), found((50, 60, 250, 180, 1)), ("ball", "box")
    )
    assert tuple(image[120, 50]) == class_color(1)
    assert tuple(image[179, 150]) == class_color(1)
    assert not image[120, 150].any()


def test_neighbouring_classes_differ_clearly():
    for index in range(20):
        difference = np.subtract(class_color(index), class_color(index + 1))
        assert np.abs(difference).max() > 100


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2000, 10)])
def test_pictures_of_any_size_and_boxes_anywhere_can_be_drawn(size):
    image = np.zeros((*size, 3), np.uint8)
    draw_detections(image, found((-50, -50, 9000, 9000, 0), (0, 0, 1, 1, 7)), ("ball",))


def test_painting_a_message_leaves_its_bytes_alone():
    picture = np.zeros((4, 4), np.uint8)
    painted = to_bgr(Pixels.from_array(picture, "mono8"))
    painted[:] = 255
    assert painted.shape == (4, 4, 3)
    assert not picture.any()


def test_a_rotated_box_is_painted_along_its_sides():
    # 40 x 10 about (50, 50), a quarter turn: 10 wide and 40 high.
    turned = Detections(
        np.array([[30, 45, 70, 55]], np.float32),
        np.array([[0.9]], np.float32),
        np.array([[0]], np.int32),
        np.array([np.pi / 2], np.float32),
    )
    painted = draw_detections(np.zeros((100, 100, 3), np.uint8), turned, ["ball"]).any(axis=2)
    assert painted[60, 45]
    assert painted[60, 55]
    assert painted[70, 50]
    assert not painted[50, 32]
    assert not painted[50, 50]


def test_classes_without_a_name_are_told_by_their_index_or_as_unknown():
    assert [class_label(index, ("ball",)) for index in (0, 7, -1)] == ["ball", "7", "unknown"]
