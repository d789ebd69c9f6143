"""YOLOv8 to YOLO12.

Convention: ultralytics/utils/ops.py (xywh2xyxy, non_max_suppression) and nn/modules/head.py of
https://github.com/ultralytics/ultralytics: (1, 4 + classes, N), centre x, y, width, height in
pixels, class scores after the sigmoid, no objectness.
"""

from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

N = 84
# Two candidates: (100, 60) 40 x 20 -> x 80..120, y 50..70; (320, 240) 640 x 480 -> the whole input.
BOXES = [[80, 50, 120, 70], [0, 0, 640, 480]]


def predictions():
    table = np.zeros((1, 7, N), np.float32)
    table[0, :, 5] = [100, 60, 40, 20, 0.1, 0.8, 0.3]
    table[0, :, 70] = [320, 240, 640, 480, 0.0, 0.2, 0.6]
    table[0, :, 80] = [10, 10, 5, 5, 0.4, 0.4, 0.4]
    return table


def check(found):
    np.testing.assert_allclose(found.boxes, BOXES, atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.8], [0.6]])
    assert found.class_ids.tolist() == [[1], [2]]


def test_rows_with_a_good_class_become_boxes(head_for):
    head = head_for("yolov8", {"predictions": (1, 7, N)})
    assert not head.suppressed
    check(head.decode({"predictions": predictions()}, Selection(score_threshold=0.5)))


def test_a_transposed_output_gives_the_same(head_for):
    head = head_for("yolov8", {"predictions": (1, N, 7)})
    given = {"predictions": predictions().transpose(0, 2, 1).copy()}
    check(head.decode(given, Selection(score_threshold=0.5)))


def test_sizes_that_only_the_outputs_tell_are_taken(head_for):
    head = head_for("yolov8", {"predictions": (1, None, None)})
    check(head.decode({"predictions": predictions()}, Selection(score_threshold=0.5)))


def test_half_precision_outputs_are_read(head_for):
    head = head_for("yolov8", {"predictions": (1, 7, N)})
    found = head.decode(
        {"predictions": predictions().astype(np.float16)}, Selection(score_threshold=0.5)
    )
    np.testing.assert_allclose(found.boxes, BOXES, atol=0.1)
    assert found.boxes.dtype == found.scores.dtype == np.float32


def test_normalized_boxes_are_relative_to_the_input(head_for):
    # Ultralytics' TensorFlow Lite files: the same divided by 640, 480, 640, 480.
    head = head_for("yolov8", {"predictions": (1, 7, N)}, box_units="normalized")
    given = predictions()
    given[0, :4] /= np.array([[640], [480], [640], [480]], np.float32)
    check(head.decode({"predictions": given}, Selection(score_threshold=0.5)))


def test_further_hypotheses_come_best_first(head_for):
    head = head_for("yolov8", {"predictions": (1, 7, N)})
    wanted = Selection(score_threshold=0.25, hypotheses=3)
    found = head.decode({"predictions": predictions()}, wanted)
    np.testing.assert_allclose(found.scores[:2], [[0.8, 0.3, 0.0], [0.6, 0.0, 0.0]])
    assert found.class_ids[0, :2].tolist() == [1, 2]


def test_a_wanted_class_is_found_beneath_a_better_one(head_for):
    head = head_for("yolov8", {"predictions": (1, 7, N)})
    wanted = Selection(score_threshold=0.25, class_ids=frozenset({2, 99}))
    found = head.decode({"predictions": predictions()}, wanted)
    np.testing.assert_allclose(found.scores, [[0.3], [0.6], [0.4]])
    assert found.class_ids.tolist() == [[2], [2], [2]]


def test_no_wanted_class_gives_nothing(head_for):
    head = head_for("yolov8", {"predictions": (1, 7, N)})
    wanted = Selection(score_threshold=0.0, class_ids=frozenset())
    assert head.decode({"predictions": predictions()}, wanted).boxes.shape == (0, 4)


def test_an_output_for_other_labels_is_refused(head_for):
    with pytest.raises(
        ModelError,
        match=r"'predictions' has shape \(1, 84, 8400\); it must be \(1, N, 7\) or \(1, 7, N\): a "
        "box and a score for each label",
    ):
        head_for("yolov8", {"predictions": (1, 84, 8400)})
