from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads import make_head
from jetson_detect.core.model import ModelError, load_model
from jetson_detect.core.selection import Selection

GRID_W, GRID_H, CLASSES = 8, 4, 3
MODEL = """\
name: tiny
license: Apache-2.0
files: [{{format: tflite, path: tiny.tflite}}]
input: {{width: 64, height: 32, layout: {layout}, color_order: RGB}}
head: {{type: {type}, outputs: {{heatmap: h, offset: o, size: s}}, {options}}}
labels: [ball, box, cone]
"""


def model(folder: Path, layout="NHWC", options="size_encoding: log", head="centernet"):
    (folder / "tiny.tflite").write_bytes(b"")
    (folder / "model.yaml").write_text(MODEL.format(layout=layout, options=options, type=head))
    return load_model(folder)


def outputs(layout="NHWC", heatmap=CLASSES, offset=2, size=2, grid=(GRID_H, GRID_W)):
    def shape(channels: int) -> tuple[int, ...]:
        return (1, *grid, channels) if layout == "NHWC" else (1, channels, *grid)

    parts = {"heatmap": heatmap, "offset": offset, "size": size}
    return {
        part: TensorInfo(part[0], shape(channels), np.dtype(np.float32))
        for part, channels in parts.items()
    }


def tensors(**peaks):
    """Empty outputs with peaks: name → (row, column, class, score, dx, dy, w, h), in cells."""
    heatmap = np.full((1, GRID_H, GRID_W, CLASSES), 0.01, np.float32)
    offset = np.zeros((1, GRID_H, GRID_W, 2), np.float32)
    size = np.zeros((1, GRID_H, GRID_W, 2), np.float32)
    for row, column, class_id, score, dx, dy, w, h in peaks.values():
        heatmap[0, row, column, class_id] = score
        offset[0, row, column] = dx, dy
        size[0, row, column] = math.log(w), math.log(h)
    return {"heatmap": heatmap, "offset": offset, "size": size}


BALL = (1, 2, 0, 0.9, 0.5, 0.25, 2.0, 1.0)
CONE = (3, 6, 2, 0.6, 0.0, 0.5, 1.0, 0.5)
# A cell is 64 / 8 = 8 pixels wide and high.  Ball: centre (2.5, 1.25) cells = (20, 10) px,
# 16 x 8 px.  Cone: centre (6, 3.5) cells = (48, 28) px, 8 x 4 px.
BALL_BOX = [12, 6, 28, 14]
CONE_BOX = [44, 26, 52, 30]


def test_peaks_become_boxes_in_network_pixels(tmp_path):
    head = make_head(model(tmp_path), outputs())
    found = head.decode(tensors(ball=BALL, cone=CONE), Selection(score_threshold=0.3))
    np.testing.assert_allclose(found.boxes, [BALL_BOX, CONE_BOX], atol=1e-4)
    np.testing.assert_allclose(found.scores, [[0.9], [0.6]])
    assert found.class_ids.tolist() == [[0], [2]]


def test_linear_sizes_are_taken_as_they_are(tmp_path):
    head = make_head(model(tmp_path, options="size_encoding: linear"), outputs())
    given = tensors(ball=BALL)
    given["size"] = np.exp(given["size"])
    found = head.decode(given, Selection(score_threshold=0.3))
    np.testing.assert_allclose(found.boxes, [BALL_BOX], atol=1e-4)


def test_channels_first_outputs_decode_to_the_same(tmp_path):
    head = make_head(model(tmp_path, layout="NCHW"), outputs("NCHW"))
    given = {name: tensor.transpose(0, 3, 1, 2) for name, tensor in tensors(a=BALL, b=CONE).items()}
    found = head.decode(given, Selection(score_threshold=0.3))
    np.testing.assert_allclose(found.boxes, [BALL_BOX, CONE_BOX], atol=1e-4)


def test_a_neighbour_of_a_higher_cell_is_no_object(tmp_path):
    head = make_head(model(tmp_path), outputs())
    shoulder = (2, 3, 1, 0.8, 0.0, 0.0, 1.0, 1.0)
    found = head.decode(tensors(ball=BALL, shoulder=shoulder), Selection(score_threshold=0.3))
    assert found.class_ids.tolist() == [[0]]


def test_scores_below_the_threshold_are_left_out(tmp_path):
    head = make_head(model(tmp_path), outputs())
    found = head.decode(tensors(ball=BALL, cone=CONE), Selection(score_threshold=0.7))
    assert found.class_ids.tolist() == [[0]]
    assert len(head.decode(tensors(), Selection(score_threshold=0.7))) == 0


def test_a_class_filter_lets_the_wanted_class_through_even_beside_a_better_one(tmp_path):
    head = make_head(model(tmp_path), outputs())
    shoulder = (2, 3, 1, 0.8, 0.0, 0.0, 1.0, 1.0)
    found = head.decode(
        tensors(ball=BALL, shoulder=shoulder),
        Selection(score_threshold=0.3, class_ids=frozenset({1})),
    )
    assert found.class_ids.tolist() == [[1]]


def test_a_threshold_of_zero_does_not_report_what_the_filter_took_out(tmp_path):
    head = make_head(model(tmp_path), outputs())
    found = head.decode(tensors(ball=BALL), Selection(score_threshold=0.0, class_ids=frozenset()))
    assert len(found) == 0


def test_further_hypotheses_come_from_the_same_cell(tmp_path):
    head = make_head(model(tmp_path), outputs())
    given = tensors(ball=BALL)
    given["heatmap"][0, 1, 2, 1] = 0.4
    found = head.decode(given, Selection(score_threshold=0.3, hypotheses=2))
    assert found.class_ids.tolist() == [[0, 1]]
    np.testing.assert_allclose(found.scores, [[0.9, 0.4]])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"heatmap": 5}, r"head.outputs.heatmap: 'h' has shape \(1, 4, 8, 5\); it must be "
         r"\(1, h, w, 3\), one channel for each label"),
        ({"size": 4}, r"head.outputs.size: 's' has shape \(1, 4, 8, 4\)"),
    ],
)  # fmt: skip
def test_outputs_of_the_wrong_depth_are_named(tmp_path, changes, expected):
    with pytest.raises(ModelError, match=expected):
        make_head(model(tmp_path), outputs(**changes))


def test_grids_that_differ_are_refused(tmp_path):
    given = outputs()
    given["size"] = TensorInfo("s", (1, 2, 2, 2), np.dtype(np.float32))
    with pytest.raises(ModelError, match="the grids differ"):
        make_head(model(tmp_path), given)


def test_a_missing_output_is_refused_with_what_is_needed(tmp_path):
    given = outputs()
    del given["offset"]
    with pytest.raises(ModelError, match="centernet needs heatmap, offset, size"):
        make_head(model(tmp_path), given)


def test_an_unknown_head_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ModelError, match=r"head.type: 'yolo3000' is not known; use one of center"):
        make_head(model(tmp_path, head="yolo3000"), outputs())


@pytest.mark.parametrize("options", ["size_encoding: cubic", "strid: 4"])
def test_an_unknown_option_is_refused(tmp_path, options):
    with pytest.raises(ModelError, match="size_encoding"):
        make_head(model(tmp_path, options=options), outputs())
