"""YOLOX.

Convention: yolox/utils/demo_utils.py: demo_postprocess of
https://github.com/Megvii-BaseDetection/YOLOX: centre = (output + cell) * stride and
size = exp(output) * stride, grids of stride 8, 16, 32 one behind the other, row by row.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

SIZE = (64, 96)
CELLS = 12 * 8 + 6 * 4 + 3 * 2


def table():
    rows = np.zeros((1, CELLS, 7), np.float32)
    # Stride 8, 8 columns: row 2, column 5 is entry 21.  Centre ((0.5 + 5) * 8, (0.25 + 2) * 8) =
    # (44, 18), 16 x 24.
    rows[0, 21] = [0.5, 0.25, math.log(2), math.log(3), 0.9, 0.1, 0.8]
    # Stride 32, 2 columns: row 1, column 0 is entry 96 + 24 + 2.  Centre (-3.2, 48), 32 x 64.
    rows[0, 122] = [-0.1, 0.5, 0.0, math.log(2), 0.8, 0.75, 0.2]
    return rows


def test_cells_and_strides_are_undone(head_for):
    head = head_for("yolox", {"predictions": (1, CELLS, 7)}, 2, SIZE)
    found = head.decode({"predictions": table()}, Selection(score_threshold=0.5))
    assert not head.suppressed
    np.testing.assert_allclose(found.boxes, [[36, 6, 52, 30], [-19.2, 16, 12.8, 80]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [[0.72], [0.6]], rtol=1e-6)
    assert found.class_ids.tolist() == [[1], [0]]


def test_boxes_that_the_network_decodes_are_taken_as_they_are(head_for):
    head = head_for("yolox", {"predictions": (1, CELLS, 7)}, 2, SIZE, decoded=True)
    given = table()
    given[0, 21, :4] = [44, 18, 16, 24]
    found = head.decode({"predictions": given}, Selection(score_threshold=0.7))
    np.testing.assert_allclose(found.boxes, [[36, 6, 52, 30]], atol=1e-4)


def test_a_fourth_stride_has_its_place_behind(head_for):
    # 64 px cells: 2 rows of 1; the last entry is row 1: centre (32, 96), 64 x 64.
    rows = np.zeros((1, CELLS + 2, 7), np.float32)
    rows[0, -1] = [0.5, 0.5, 0, 0, 1.0, 1.0, 0.0]
    head = head_for("yolox", {"predictions": rows.shape}, 2, SIZE, strides=[8, 16, 32, 64])
    found = head.decode({"predictions": rows}, Selection(score_threshold=0.7))
    np.testing.assert_allclose(found.boxes, [[0, 64, 64, 128]], atol=1e-4)


def test_an_input_that_does_not_fit_the_cells_is_refused(head_for):
    with pytest.raises(ModelError, match="an input of 64x96 has 126 cells: correct input or head"):
        head_for("yolox", {"predictions": (1, 8400, 7)}, 2, SIZE)


def test_a_size_that_would_overflow_stays_finite(head_for):
    given = table()
    given[0, 21, 2:4] = 1000
    head = head_for("yolox", {"predictions": (1, CELLS, 7)}, 2, SIZE)
    found = head.decode({"predictions": given}, Selection(score_threshold=0.7))
    assert np.isfinite(found.boxes).all()
