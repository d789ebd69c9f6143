"""YOLOv5 and YOLOv7.

Convention: models/yolo.py: Detect of https://github.com/ultralytics/yolov5: after the sigmoid s,
centre = (2 s - 0.5 + cell) * stride and size = (2 s)² * anchor; a class scores objectness * class.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

SIZE = (64, 96)
ANCHORS = {
    "p3": [10, 13, 16, 30, 33, 23],
    "p4": [30, 61, 62, 45, 59, 119],
    "p5": [116, 90, 156, 198, 373, 326],
}
GRIDS = {"p3": (12, 8), "p4": (6, 4), "p5": (3, 2)}
SHAPES = {part: (1, 3, *grid, 7) for part, grid in GRIDS.items()}


def logit(probability):
    return math.log(probability / (1 - probability))


def test_a_class_scores_its_share_of_the_objectness(head_for):
    table = np.zeros((1, 252, 7), np.float32)
    table[0, 3] = [30, 20, 20, 10, 0.8, 0.5, 0.75]  # 0.4 and 0.6
    table[0, 4] = [30, 20, 20, 10, 0.4, 1.0, 1.0]  # no class above 0.4
    table[0, 5] = [30, 20, 20, 10, 0.9, 0.5, 0.1]  # objectness alone is not enough
    head = head_for("yolov5", {"predictions": table.shape}, 2, SIZE)
    found = head.decode({"predictions": table}, Selection(score_threshold=0.5))
    assert not head.suppressed
    np.testing.assert_allclose(found.boxes, [[20, 15, 40, 25]])
    np.testing.assert_allclose(found.scores, [[0.6]], rtol=1e-6)
    assert found.class_ids.tolist() == [[1]]


def test_normalized_boxes_are_relative_to_the_input(head_for):
    table = np.zeros((1, 252, 7), np.float32)
    table[0, 3] = [30 / 64, 20 / 96, 20 / 64, 10 / 96, 0.8, 0.5, 0.75]
    head = head_for("yolov5", {"predictions": table.shape}, 2, SIZE, box_units="normalized")
    found = head.decode({"predictions": table}, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[20, 15, 40, 25]], rtol=1e-5)


def test_only_wanted_classes_come_through(head_for):
    table = np.zeros((1, 252, 7), np.float32)
    table[0, 3] = [30, 20, 20, 10, 0.8, 0.5, 0.75]
    head = head_for("yolov5", {"predictions": table.shape}, 2, SIZE)
    wanted = Selection(score_threshold=0.3, class_ids=frozenset({0}))
    found = head.decode({"predictions": table}, wanted)
    np.testing.assert_allclose(found.scores, [[0.4]], rtol=1e-6)
    assert found.class_ids.tolist() == [[0]]


def raw_grids(*objects):
    """Encode objects: part, anchor, row, column, class, both scores, centre and size in pixels."""
    grids = {part: np.full(shape, -9.0, np.float32) for part, shape in SHAPES.items()}
    for part, shape, row, column, class_id, score, x, y, w, h in objects:
        stride = {"p3": 8, "p4": 16, "p5": 32}[part]
        width, height = ANCHORS[part][2 * shape : 2 * shape + 2]
        cell = grids[part][0, shape, row, column]
        cell[0] = logit((x / stride - column + 0.5) / 2)
        cell[1] = logit((y / stride - row + 0.5) / 2)
        cell[2] = logit(math.sqrt(w / width) / 2)
        cell[3] = logit(math.sqrt(h / height) / 2)
        cell[4] = logit(score)
        cell[5 + class_id] = logit(score)
    return grids


def test_raw_grids_are_decoded_with_their_anchors(head_for):
    given = raw_grids(
        ("p3", 1, 7, 3, 0, 0.9, 30.0, 58.0, 20.0, 40.0),
        ("p5", 2, 1, 0, 1, 0.8, 10.0, 50.0, 200.0, 90.0),
    )
    head = head_for("yolov5", SHAPES, 2, SIZE, anchors=ANCHORS)
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[20, 38, 40, 78], [-90, 5, 110, 95]], atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.81], [0.64]], rtol=1e-5)
    assert found.class_ids.tolist() == [[0], [1]]


def test_raw_grids_with_nothing_in_them_give_nothing(head_for):
    head = head_for("yolov5", SHAPES, 2, SIZE, anchors=ANCHORS)
    assert len(head.decode(raw_grids(), Selection(score_threshold=0.5))) == 0


@pytest.mark.parametrize(
    ("shapes", "options", "expected"),
    [
        (SHAPES, {}, "outputs p3, p4, p5 are raw grids, but there are no anchors; add anchors"),
        (SHAPES, {"anchors": {"p3": [1, 2]}}, "head.anchors.p4: .. does not fit; give a width and"),
        (SHAPES, {"anchors": ANCHORS | {"p5": [1]}}, r"head.anchors.p5: \[1.0\] does not fit"),
        (SHAPES, {"anchors": ANCHORS | {"p7": [1, 2]}}, "unknown key 'p7'; use p3, p4, p5"),
        ({"p3": SHAPES["p3"]}, {"anchors": ANCHORS}, "yolov5 needs p3, p4, p5 and may have p6"),
        (
            {"predictions": (1, 252, 6)},
            {},
            r"it must be \(1, N, 7\) or \(1, 7, N\): a box, the obj",
        ),
    ],
)
def test_what_does_not_fit_is_named(head_for, shapes, options, expected):
    with pytest.raises(ModelError, match=expected):
        head_for("yolov5", shapes, 2, SIZE, **options)
