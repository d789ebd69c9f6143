"""Oriented boxes of YOLOv8-OBB and YOLO11-OBB.

Convention: https://github.com/ultralytics/ultralytics: nn/modules/head.py: OBB puts the angle, in
radians, behind the class scores; utils/ops.py: xywhr2xyxyxyxy has the corners at
centre ± w / 2 * (cos, sin) ± h / 2 * (-sin, cos).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection


def predictions():
    table = np.zeros((1, 8, 100), np.float32)
    table[0, :, 4] = [100, 60, 40, 20, 0.1, 0.8, 0.3, math.pi / 6]
    table[0, :, 9] = [200, 100, 10, 50, 0.7, 0.0, 0.0, -0.5]
    return table


@pytest.mark.parametrize("transposed", [False, True])
def test_boxes_keep_their_extent_and_angle(head_for, transposed):
    given = predictions().transpose(0, 2, 1).copy() if transposed else predictions()
    head = head_for("yolo_obb", {"predictions": given.shape})
    found = head.decode({"predictions": given}, Selection(score_threshold=0.5))
    assert not head.suppressed
    np.testing.assert_allclose(found.boxes, [[80, 50, 120, 70], [195, 75, 205, 125]])
    np.testing.assert_allclose(found.scores, [[0.8], [0.7]])
    assert found.class_ids.tolist() == [[1], [0]]
    np.testing.assert_allclose(found.angles, [math.pi / 6, -0.5], rtol=1e-6)


def test_an_angle_is_never_taken_for_a_class(head_for):
    given = predictions()
    given[0, 7] = 2.0
    head = head_for("yolo_obb", {"predictions": given.shape})
    found = head.decode({"predictions": given}, Selection(score_threshold=0.5, hypotheses=9))
    assert found.class_ids.max() == 2
    assert found.scores.max() == np.float32(0.8)


def test_normalized_boxes_are_relative_to_the_input(head_for):
    given = predictions()
    given[0, :4] /= np.array([[640], [480], [640], [480]], np.float32)
    head = head_for("yolo_obb", {"predictions": given.shape}, box_units="normalized")
    found = head.decode({"predictions": given}, Selection(score_threshold=0.75))
    np.testing.assert_allclose(found.boxes, [[80, 50, 120, 70]], rtol=1e-5)


def test_an_output_without_an_angle_is_refused(head_for):
    with pytest.raises(ModelError, match="a box, a score for each label and the angle"):
        head_for("yolo_obb", {"predictions": (1, 7, 100)})
