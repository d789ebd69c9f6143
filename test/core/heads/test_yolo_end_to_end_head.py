"""YOLOv10 and YOLO26.

Convention: nn/modules/head.py: Detect.postprocess ("x, y, x, y, max_class_prob, class_index") and
OBB.postprocess ("x, y, w, h, max_class_prob, class_index, angle") of
https://github.com/ultralytics/ultralytics.
"""

from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection


def test_rows_are_detections(head_for):
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = [10, 20, 110, 220, 0.9, 2]
    rows[0, 1] = [0, 0, 640, 480, 0.6, 0]
    rows[0, 2] = [5, 5, 6, 6, 0.4, 1]
    head = head_for("yolo_end_to_end", {"predictions": rows.shape})
    found = head.decode({"predictions": rows}, Selection(score_threshold=0.5))
    assert head.suppressed
    np.testing.assert_array_equal(found.boxes, [[10, 20, 110, 220], [0, 0, 640, 480]])
    np.testing.assert_allclose(found.scores, [[0.9], [0.6]])
    assert found.class_ids.tolist() == [[2], [0]]
    assert found.angles is None


def test_a_seventh_column_is_the_angle_of_a_box_by_its_centre(head_for):
    rows = np.zeros((1, 300, 7), np.float32)
    rows[0, 0] = [100, 50, 40, 20, 0.9, 1, 0.25]
    head = head_for("yolo_end_to_end", {"predictions": rows.shape})
    found = head.decode({"predictions": rows}, Selection(score_threshold=0.5))
    np.testing.assert_array_equal(found.boxes, [[80, 40, 120, 60]])
    assert found.class_ids.tolist() == [[1]]
    np.testing.assert_array_equal(found.angles, [0.25])


def test_only_wanted_classes_come_through(head_for):
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = [10, 20, 110, 220, 0.9, 2]
    rows[0, 1] = [1, 2, 3, 4, 0.6, 7]
    head = head_for("yolo_end_to_end", {"predictions": rows.shape})
    wanted = Selection(score_threshold=0.5, class_ids=frozenset({7}))
    found = head.decode({"predictions": rows}, wanted)
    np.testing.assert_array_equal(found.boxes, [[1, 2, 3, 4]])
    assert found.class_ids.tolist() == [[7]]


def test_empty_rows_are_left_out_even_with_a_threshold_of_zero(head_for):
    head = head_for("yolo_end_to_end", {"predictions": (1, 300, 6)})
    given = {"predictions": np.zeros((1, 300, 6), np.float32)}
    assert len(head.decode(given, Selection(score_threshold=0.0))) == 0


def test_normalized_boxes_are_relative_to_the_input(head_for):
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = [0.25, 0.5, 0.5, 1.0, 0.9, 0]
    head = head_for("yolo_end_to_end", {"predictions": rows.shape}, box_units="normalized")
    found = head.decode({"predictions": rows}, Selection(score_threshold=0.5))
    np.testing.assert_array_equal(found.boxes, [[160, 240, 320, 480]])


def test_masks_or_keypoints_behind_the_class_are_refused(head_for):
    with pytest.raises(
        ModelError, match=r"it must be \(1, N, 6\) or \(1, N, 7\): a box, its score"
    ):
        head_for("yolo_end_to_end", {"predictions": (1, 300, 38)})
