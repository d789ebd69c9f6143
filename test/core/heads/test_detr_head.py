"""DETR and its family.

Conventions: DETR: models/detr.py: PostProcess of https://github.com/facebookresearch/detr (softmax,
last class is "no object", boxes cx, cy, w, h from 0 to 1); RT-DETR:
rtdetr_pytorch/src/zoo/rtdetr/rtdetr_postprocessor.py of https://github.com/lyuwenyu/RT-DETR
(sigmoid, the best of all query and class pairs).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

# In an input of 640 x 480: centre (320, 120), 64 x 48; and centre (160, 360), 320 x 240.
CODES = [[0.5, 0.25, 0.1, 0.1], [0.25, 0.75, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1]]
BOXES = [[288, 96, 352, 144], [0, 240, 320, 480]]


def test_detr_takes_a_softmax_with_no_object_last(head_for):
    head = head_for("detr", {"logits": (1, 3, 4), "boxes": (1, 3, 4)})
    # exp(ln 8) / (1 + 8 + 1 + 0) = 0.8; 6 / (1 + 1 + 6 + 2) = 0.6; no object wins.
    logits = np.log([[[1, 8, 1, 1e-9], [1, 1, 6, 2], [1, 1, 1, 97]]]).astype(np.float32)
    given = {"logits": logits, "boxes": np.array([CODES], np.float32)}
    found = head.decode(given, Selection(score_threshold=0.5))
    assert head.suppressed
    np.testing.assert_allclose(found.boxes, BOXES, atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.8], [0.6]], rtol=1e-5)
    assert found.class_ids.tolist() == [[1], [2]]


def rt_detr_outputs():
    logits = np.full((1, 3, 3), -9.0, np.float32)
    logits[0, 0] = [math.log(9), math.log(3), -9]  # sigmoid: 0.9 and 0.75
    logits[0, 1, 2] = math.log(1.5)  # 0.6
    return {"logits": logits, "boxes": np.array([CODES], np.float32)}


def test_rt_detr_takes_the_best_of_all_queries_and_classes(head_for):
    head = head_for("detr", {"logits": (1, 3, 3), "boxes": (1, 3, 4)})
    found = head.decode(rt_detr_outputs(), Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [BOXES[0], BOXES[0], BOXES[1]], atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.9], [0.75], [0.6]], rtol=1e-5)
    assert found.class_ids.tolist() == [[0], [1], [2]]


def test_a_query_can_be_held_to_its_best_class(head_for):
    shapes = {"logits": (1, 3, 3), "boxes": (1, 3, 4)}
    head = head_for("detr", shapes, several_per_query=False)
    found = head.decode(rt_detr_outputs(), Selection(score_threshold=0.5))
    assert found.class_ids.tolist() == [[0], [2]]


def test_with_several_hypotheses_a_query_is_one_object(head_for):
    head = head_for("detr", {"logits": (1, 3, 3), "boxes": (1, 3, 4)})
    found = head.decode(rt_detr_outputs(), Selection(score_threshold=0.5, hypotheses=2))
    np.testing.assert_allclose(found.boxes, BOXES, atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.9, 0.75], [0.6, 0.0]], rtol=1e-5)


def test_only_wanted_classes_come_through(head_for):
    head = head_for("detr", {"logits": (1, 3, 3), "boxes": (1, 3, 4)})
    wanted = Selection(score_threshold=0.5, class_ids=frozenset({1}))
    found = head.decode(rt_detr_outputs(), wanted)
    np.testing.assert_allclose(found.scores, [[0.75]], rtol=1e-5)
    assert found.class_ids.tolist() == [[1]]


def test_boxes_and_scores_in_one_output_have_their_sigmoid(head_for):
    # Ultralytics exports RT-DETR so: (1, 300, 4 + classes).
    table = np.zeros((1, 300, 7), np.float32)
    table[0, 7] = [*CODES[0], 0.1, 0.9, 0.2]
    head = head_for("detr", {"predictions": table.shape})
    found = head.decode({"predictions": table}, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, BOXES[:1], atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.9]])
    assert found.class_ids.tolist() == [[1]]


def test_the_activation_can_be_set(head_for):
    shapes = {"logits": (1, 3, 3), "boxes": (1, 3, 4)}
    head = head_for("detr", shapes, activation="none")
    scores = np.array([[[0.9, 0.0, 0.0], [0.0] * 3, [0.0] * 3]], np.float32)
    given = {"logits": scores, "boxes": np.array([CODES], np.float32)}
    np.testing.assert_allclose(head.decode(given, Selection()).scores, [[0.9]])


def test_a_softmax_over_the_labels_alone_is_exact_too(head_for):
    shapes = {"logits": (1, 3, 3), "boxes": (1, 3, 4)}
    head = head_for("detr", shapes, activation="softmax")
    logits = np.log([[[1, 8, 1], [1, 1, 1], [6, 2, 2]]]).astype(np.float32)
    given = {"logits": logits, "boxes": np.array([CODES], np.float32)}
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.scores, [[0.8], [0.6]], rtol=1e-5)


def test_logits_for_other_labels_are_refused(head_for):
    with pytest.raises(
        ModelError, match=r"it must be \(1, Q, 3\) or \(1, Q, 4\), a score for each"
    ):
        head_for("detr", {"logits": (1, 100, 92), "boxes": (1, 100, 4)})
