"""EfficientDet before suppression.

Anchors and box coding as in efficientdet/anchors.py (https://github.com/google/automl), written
again here in plain loops, the other way round: boxes are encoded into outputs.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

SIZE = (256, 128)
LABELS = 2
GRIDS = {3: (16, 32), 4: (8, 16), 5: (4, 8), 6: (2, 4), 7: (1, 2)}


def anchor_list():
    """All anchors as (level, row, column, shape, x, y, w, h), one loop inside the other."""
    anchors = []
    for level, (rows, columns) in GRIDS.items():
        stride = 2**level
        for row in range(rows):
            for column in range(columns):
                for octave in range(3):
                    for number, ratio in enumerate((1.0, 2.0, 0.5)):
                        base = 4.0 * stride * 2 ** (octave / 3)
                        anchors.append(
                            (
                                level, row, column, octave * 3 + number,
                                stride / 2 + column * stride, stride / 2 + row * stride,
                                base * math.sqrt(ratio), base / math.sqrt(ratio),
                            )
                        )  # fmt: skip
    return anchors


ANCHORS = anchor_list()
# name: anchor, class, logit, box (x1, y1, x2, y2); scores 0.9, 0.75, 0.6.
OBJECTS = {
    "small": (ANCHORS.index(next(a for a in ANCHORS if a[:4] == (3, 5, 20, 4))), 1, math.log(9),
              (150.0, 30.0, 190.0, 60.0)),
    "middle": (ANCHORS.index(next(a for a in ANCHORS if a[:4] == (5, 1, 3, 0))), 0, math.log(3),
               (80.0, 10.0, 240.0, 120.0)),
    "large": (ANCHORS.index(next(a for a in ANCHORS if a[:4] == (7, 0, 1, 8))), 1, math.log(1.5),
              (-20.0, -10.0, 250.0, 130.0)),
}  # fmt: skip
BOXES = [entry[3] for entry in OBJECTS.values()]


def encoded():
    """Concatenated outputs: (1, N, 2) logits, (1, N, 4) ty, tx, th, tw."""
    classes = np.full((1, len(ANCHORS), LABELS), -8.0, np.float32)
    codes = np.zeros((1, len(ANCHORS), 4), np.float32)
    for index, class_id, logit, (x1, y1, x2, y2) in OBJECTS.values():
        _, _, _, _, x, y, w, h = ANCHORS[index]
        classes[0, index, class_id] = logit
        codes[0, index] = [
            ((y1 + y2) / 2 - y) / h,
            ((x1 + x2) / 2 - x) / w,
            math.log((y2 - y1) / h),
            math.log((x2 - x1) / w),
        ]
    return classes, codes


def by_level(channels_first):
    classes, codes = encoded()
    outputs, start = {}, 0
    for level, (rows, columns) in GRIDS.items():
        count = rows * columns * 9
        for part, whole in (("classes", classes), ("boxes", codes)):
            depth = whole.shape[2]
            level_map = whole[:, start : start + count].reshape(1, rows, columns, 9 * depth)
            outputs[f"{part}_{level}"] = (
                level_map.transpose(0, 3, 1, 2).copy() if channels_first else level_map
            )
        start += count
    return outputs


def check(found):
    order = np.argsort(-found.scores[:, 0])
    np.testing.assert_allclose(found.scores[order], [[0.9], [0.75], [0.6]], rtol=1e-5)
    assert found.class_ids[order].tolist() == [[1], [0], [1]]
    np.testing.assert_allclose(found.boxes[order], BOXES, atol=1e-3)


def test_boxes_come_back_from_outputs_in_one_piece(head_for):
    classes, codes = encoded()
    shapes = {"classes": classes.shape, "boxes": codes.shape}
    head = head_for("efficientdet", shapes, LABELS, SIZE)
    check(head.decode({"classes": classes, "boxes": codes}, Selection(score_threshold=0.5)))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_boxes_come_back_from_outputs_level_by_level(head_for, layout):
    outputs = by_level(channels_first=layout == "NCHW")
    shapes = {part: array.shape for part, array in outputs.items()}
    head = head_for("efficientdet", shapes, LABELS, SIZE, layout)
    check(head.decode(outputs, Selection(score_threshold=0.5)))


def test_d0_has_as_many_anchors_as_published(head_for):
    # 9 * (64² + 32² + 16² + 8² + 4²) = 49104 at 512 x 512.
    shapes = {"classes": (1, 49104, 90), "boxes": (1, 49104, 4)}
    assert not head_for("efficientdet", shapes, 90, (512, 512)).suppressed


def test_ratios_can_be_pairs(head_for):
    # The first releases had (1, 1), (1.4, 0.7), (0.7, 1.4).  Level 3, cell (0, 0), shape 1:
    # 32 * 1.4 = 44.8 wide, 32 * 0.7 = 22.4 high, at (4, 4).
    classes, codes = encoded()
    classes[...], codes[...] = -8, 0
    classes[0, 1, 0] = 3
    shapes = {"classes": classes.shape, "boxes": codes.shape}
    pairs = [[1.0, 1.0], [1.4, 0.7], [0.7, 1.4]]
    head = head_for("efficientdet", shapes, LABELS, SIZE, aspect_ratios=pairs)
    found = head.decode({"classes": classes, "boxes": codes}, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[4 - 22.4, 4 - 11.2, 4 + 22.4, 4 + 11.2]], rtol=1e-5)


def test_nothing_above_the_threshold_is_nothing_found(head_for):
    outputs = by_level(channels_first=True)
    shapes = {part: array.shape for part, array in outputs.items()}
    head = head_for("efficientdet", shapes, LABELS, SIZE)
    found = head.decode(outputs, Selection(score_threshold=0.95))
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("shapes", "options", "expected"),
    [
        ({"classes": (1, 100, 2), "boxes": (1, 100, 4)}, {}, "input of 256x128 has 6138 anchors"),
        ({"classes": (1, 6138, 3), "boxes": (1, 6138, 4)}, {}, r"it must be \(1, N, 2\)"),
        ({"classes": (1, 6138, 2)}, {}, "efficientdet needs classes, boxes"),
        ({"classes_3": (1, 18, 16, 32)}, {}, "needs classes_3, .*boxes_7"),
        ({"classes": (1, 6138, 2), "boxes": (1, 6138, 4)}, {"aspect_ratios": [0]},
         "head.aspect_ratios: .0. does not fit; use numbers or .width, height. pairs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(head_for, shapes, options, expected):
    with pytest.raises(ModelError, match=expected):
        head_for("efficientdet", shapes, LABELS, SIZE, **options)


def test_a_level_with_another_grid_is_refused(head_for):
    shapes = {part: array.shape for part, array in by_level(channels_first=True).items()}
    with pytest.raises(ModelError, match=r"head.outputs.boxes_5: .* has 32 cells there"):
        head_for("efficientdet", shapes | {"boxes_5": (1, 36, 4, 4)}, LABELS, SIZE)
