"""NVIDIA DetectNet_v2.

Convention: NvDsInferParseCustomResnet in DeepStream's sample parser and DetectNetPostprocessor of
https://github.com/NVIDIA-AI-IOT/tao-toolkit-triton-apps: with centre = (cell * stride + 0.5) / 35,
x1 = (output - centre) * -35 and x2 = (output + centre) * 35.
"""

from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

# 960 x 544 with 16 px cells: 60 x 34.  Three classes, four edges each.
SHAPES = {"coverage": (1, 3, 34, 60), "boxes": (1, 12, 34, 60)}


def outputs():
    coverage = np.zeros(SHAPES["coverage"], np.float32)
    boxes = np.full(SHAPES["boxes"], 7.0, np.float32)
    # Class 1, row 10, column 20: centre (320.5, 160.5).  x1 = 320.5 - 35 * 2 = 250.5,
    # y1 = 160.5 - 35 * 1 = 125.5, x2 = 320.5 + 35 * 3 = 425.5, y2 = 160.5 + 35 * 0.5 = 178.
    coverage[0, 1, 10, 20] = 0.9
    boxes[0, 4:8, 10, 20] = [2.0, 1.0, 3.0, 0.5]
    # Class 2 at the same cell with a box of its own: 306.5, 146.5, 334.5, 174.5 (14 px around).
    coverage[0, 2, 10, 20] = 0.6
    boxes[0, 8:12, 10, 20] = 0.4
    return {"coverage": coverage, "boxes": boxes}


BOXES = [[250.5, 125.5, 425.5, 178.0], [306.5, 146.5, 334.5, 174.5]]


def test_each_class_of_a_cell_has_a_box_of_its_own(head_for):
    head = head_for("detectnet", SHAPES, size=(960, 544))
    found = head.decode(outputs(), Selection(score_threshold=0.5))
    assert not head.suppressed
    np.testing.assert_allclose(found.boxes, BOXES, rtol=1e-6)
    np.testing.assert_allclose(found.scores, [[0.9], [0.6]])
    assert found.class_ids.tolist() == [[1], [2]]


def test_channels_last_outputs_give_the_same(head_for):
    given = {part: array.transpose(0, 2, 3, 1) for part, array in outputs().items()}
    shapes = {part: array.shape for part, array in given.items()}
    head = head_for("detectnet", shapes, size=(960, 544), layout="NHWC")
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, BOXES, rtol=1e-6)


def test_only_wanted_classes_come_through(head_for):
    head = head_for("detectnet", SHAPES, size=(960, 544))
    wanted = Selection(score_threshold=0.5, class_ids=frozenset({2, 9}))
    assert head.decode(outputs(), wanted).class_ids.tolist() == [[2]]


def test_norm_and_offset_can_be_set(head_for):
    head = head_for("detectnet", SHAPES, size=(960, 544), bbox_norm=10.0, center_offset=0)
    found = head.decode(outputs(), Selection(score_threshold=0.8))
    np.testing.assert_allclose(found.boxes, [[300, 150, 350, 165]], rtol=1e-6)


def test_boxes_for_other_labels_are_refused(head_for):
    with pytest.raises(ModelError, match=r"it must be \(1, 12, h, w\) for these labels"):
        head_for("detectnet", SHAPES | {"boxes": (1, 4, 34, 60)}, size=(960, 544))
