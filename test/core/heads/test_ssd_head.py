"""SSD before suppression.

Anchors and boxes as in research/object_detection of https://github.com/tensorflow/models:
anchor_generators/multiple_grid_anchor_generator.py, multiscale_grid_anchor_generator.py and
box_coders/faster_rcnn_box_coder.py.  Expected numbers are worked out by hand, in plain loops, or
taken from that project's published anchors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetson_detect.core.heads.anchors import multiscale_anchors, ssd_anchors
from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

MOBILENET_GRIDS = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
MOBILENET_SCALES = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95]
RATIOS = [1.0, 2.0, 0.5, 3.0, 1 / 3]


def test_the_anchors_of_ssd_mobilenet_are_those_that_tensorflow_published():
    # box_priors.txt of TensorFlow's Android example holds y, x, h, w / 300 of 1917 anchors; the
    # first three and the last one:
    published = np.array(
        [
            [0.02631579, 0.02631579, 0.1, 0.1],
            [0.02631579, 0.02631579, 0.14142136, 0.28284271],
            [0.02631579, 0.02631579, 0.28284271, 0.14142136],
            [0.5, 0.5, 0.97467943, 0.97467943],
        ]
    )
    anchors = ssd_anchors((300, 300), MOBILENET_GRIDS, MOBILENET_SCALES, RATIOS)
    assert anchors.shape == (1917, 4)
    np.testing.assert_allclose(
        anchors[[0, 1, 2, -1]], published[:, [1, 0, 3, 2]] * 300, rtol=1e-6, atol=1e-4
    )


def test_anchors_go_by_row_then_column_then_shape():
    # Second grid, 10 x 10, six shapes a cell: cell (2, 7) starts at 19 * 19 * 3 + (2 * 10 + 7) * 6.
    anchors = ssd_anchors((300, 300), MOBILENET_GRIDS, MOBILENET_SCALES, RATIOS)
    cell = anchors[1083 + 27 * 6 :][:6]
    np.testing.assert_allclose(cell[:, :2], [[7.5 * 30, 2.5 * 30]] * 6, rtol=1e-6)
    side = 0.35 * 300
    between = math.sqrt(0.35 * 0.5) * 300
    expected = [
        (side, side),
        (side * math.sqrt(2), side / math.sqrt(2)),
        (side / math.sqrt(2), side * math.sqrt(2)),
        (side * math.sqrt(3), side / math.sqrt(3)),
        (side / math.sqrt(3), side * math.sqrt(3)),
        (between, between),
    ]
    np.testing.assert_allclose(cell[:, 2:], expected, rtol=1e-6)


def test_anchors_stay_square_in_an_input_that_is_not():
    # multiple_grid_anchor_generator_test.py: a base anchor is relative to the shorter side; its
    # test_construct_anchor_grid_normalized has [0, 0, 1, .5] and [0, .5, 1, 1] (y, x / size) for an
    # input of 640 x 320 and a grid of 1 x 2 with scale 1.
    anchors = ssd_anchors(
        (640, 320), [(1, 2)], [1.0], [1.0], interpolated_aspect_ratio=0, reduce_lowest_layer=False
    )
    np.testing.assert_allclose(anchors, [[160, 160, 320, 320], [480, 160, 320, 320]])


def test_multiscale_anchors_vary_the_scale_before_the_ratio():
    # ssd_mobilenet_v1_fpn_640: strides 8 to 128, anchor_scale 4, two scales an octave: 51150.
    anchors = multiscale_anchors((640, 640), range(3, 8), [1.0, 2.0, 0.5])
    assert anchors.shape == (51150, 4)
    # Cell (1, 2) of the first grid (80 columns): centre (20, 12), base 4 * 8 = 32.
    cell = anchors[(1 * 80 + 2) * 6 :][:6]
    np.testing.assert_allclose(cell[:, :2], [[20, 12]] * 6)
    octave = 32 * math.sqrt(2)
    wide, narrow = math.sqrt(2), 1 / math.sqrt(2)
    expected = [
        (32, 32), (octave, octave),
        (32 * wide, 32 * narrow), (octave * wide, octave * narrow),
        (32 * narrow, 32 * wide), (octave * narrow, octave * wide),
    ]  # fmt: skip
    np.testing.assert_allclose(cell[:, 2:], expected, rtol=1e-6)


def test_multiscale_anchors_lie_on_corners_where_the_input_is_no_multiple_of_the_stride():
    # 300 / 8 = 37.5: 38 cells, and the generator sets no offset; 320 is a multiple.
    anchors = multiscale_anchors((300, 320), [3], [1.0], scales_per_octave=1)
    assert len(anchors) == 38 * 40
    np.testing.assert_allclose(anchors[0, :2], [0.0, 4.0])


SHAPES = {"boxes": (1, 6, 4), "scores": (1, 6, 4)}
SMALL = {
    "labels": 3,
    "size": (100, 100),
    "anchors": {
        "type": "ssd",
        "feature_maps": [[1, 1], [1, 1]],
        "scales": [0.4, 0.8],
        "aspect_ratios": [1.0, 4.0],
    },
}
# Anchors, all centred at (50, 50).  First grid, reduced: 10x10; 0.4 * 100 with ratio 2:
# 56.57x28.28; with ratio 1/2: 28.28x56.57.  Second: 80x80; ratio 4: 160x40; sqrt(0.8 * 1.0):
# 89.44x89.44.


def empty():
    return {
        "boxes": np.zeros((1, 6, 4), np.float32),
        "scores": np.full((1, 6, 4), -9.0, np.float32),
    }


def test_boxes_are_decoded_relative_to_their_anchors(head_for):
    given = empty()
    # Anchor 4 is 160 x 40 at (50, 50).  ty = 5 / 10 * 40 = 20 px, tx = -1 / 10 * 160 = -16 px,
    # h = 40 * exp(5 * ln(0.5) / 5) = 20, w = 160 * exp(5 * ln(0.25) / 5) = 40:
    # centre (34, 70), so x 14..54, y 60..80.  Score: sigmoid(ln 4) = 0.8, class 1 behind the
    # background.
    given["boxes"][0, 4] = [5.0, -1.0, 5 * math.log(0.5), 5 * math.log(0.25)]
    given["scores"][0, 4, 2] = math.log(4)
    found = head_for("ssd", SHAPES, **SMALL).decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[14, 60, 54, 80]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [[0.8]], rtol=1e-6)
    assert found.class_ids.tolist() == [[1]]


def test_scale_factors_can_be_set(head_for):
    given = empty()
    given["boxes"][0, 0] = [0.5, -0.5, math.log(2), math.log(3)]
    given["scores"][0, 0, 1] = 3
    head = head_for("ssd", SHAPES, scale_factors=[1, 1, 1, 1], **SMALL)
    # Anchor 0 is 10 x 10 at (50, 50): centre (45, 55), 30 x 20.
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[30, 45, 60, 65]], atol=1e-4)


def test_the_background_never_comes_out(head_for):
    given = empty()
    given["scores"][0, :, 0] = 9.0
    given["scores"][0, 1] = [9.0, -9.0, 0.5, -9.0]
    head = head_for("ssd", SHAPES, activation="softmax", **SMALL)
    assert len(head.decode(given, Selection(score_threshold=0.01))) == 0
    # exp(2.5) / (exp(2.5) + exp(0.5) + 2 exp(-9)) = 1 / (1 + exp(-2) + 2 exp(-11.5)) = 0.880781
    given["scores"][0, 1] = [0.5, -9.0, 2.5, -9.0]
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.scores, [[0.880781]], atol=1e-6)
    assert found.class_ids.tolist() == [[1]]


def test_the_background_may_be_the_last_class(head_for):
    given = empty()
    given["scores"][0, :, 3] = 9.0
    given["scores"][0, 1] = [2.5, -9.0, -9.0, 0.5]
    head = head_for("ssd", SHAPES, activation="softmax", background="last", **SMALL)
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.scores, [[0.880781]], atol=1e-6)
    assert found.class_ids.tolist() == [[0]]


def test_scores_that_the_network_has_converted_are_taken_as_they_are(head_for):
    given = empty()
    given["scores"] = np.zeros((1, 6, 3), np.float32)
    given["scores"][0, 5] = [0.1, 0.2, 0.75]
    shapes = SHAPES | {"scores": (1, 6, 3)}
    found = head_for("ssd", shapes, activation="none", **SMALL).decode(
        given, Selection(score_threshold=0.5)
    )
    # Untouched codes give the anchor: 100 * sqrt(0.8) = 89.4427 wide and high.
    np.testing.assert_allclose(found.boxes, [[5.27864, 5.27864, 94.72136, 94.72136]], atol=1e-4)
    assert found.class_ids.tolist() == [[2]]


def test_a_code_that_would_overflow_gives_a_finite_box(head_for):
    given = empty()
    given["boxes"][0, 0] = [0, 0, 1e6, 1e6]
    given["scores"][0, 0, 1] = 3
    found = head_for("ssd", SHAPES, **SMALL).decode(given, Selection(score_threshold=0.5))
    assert np.isfinite(found.boxes).all()
    np.testing.assert_allclose(found.boxes[0, 2] - found.boxes[0, 0], 10 * 1000, rtol=1e-4)


def test_anchors_can_come_from_a_file(head_for, tmp_path):
    # As TFLite_Detection_PostProcess has them: y, x, h, w from 0 to 1.
    np.save(tmp_path / "anchors.npy", np.array([[0.5, 0.25, 0.2, 0.4]] * 6))
    given = empty()
    given["scores"][0, 3, 1] = 3
    options = SMALL | {"anchors": {"type": "file", "file": "anchors.npy"}}
    found = head_for("ssd", SHAPES, **options).decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[5, 40, 45, 60]], atol=1e-4)


def test_decoded_boxes_need_no_anchors(head_for):
    # jetson-inference's SSD-Mobilenet: scores after the softmax, x1, y1, x2, y2 from 0 to 1.
    given = {
        "boxes": np.array([[[0.1, 0.2, 0.3, 0.4]] * 6], np.float32),
        "scores": np.zeros((1, 6, 4), np.float32),
    }
    given["scores"][0, 2] = [0.1, 0.0, 0.0, 0.9]
    head = head_for("ssd", SHAPES, size=(200, 100), decoded=True, activation="none")
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, [[20, 20, 60, 40]], atol=1e-4)
    assert found.class_ids.tolist() == [[2]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"anchors": {"type": "ssd"}},
            "has shape .* there are [0-9]+ anchors: correct head.anchors",
        ),
        ({"anchors": {"type": "grid"}}, "head.anchors.type: 'grid' .* use one of ssd, multiscale"),
        ({"anchors": {"type": "file", "file": "none.npy"}}, "none.npy cannot be read"),
        ({"anchors": {"type": "ssd", "feature_maps": 3}}, "use a list of .rows, columns."),
        ({"anchors": {"type": "ssd", "scales": [0.1]}}, "there are 6 feature maps"),
        ({"anchors": {"ratios": [1]}}, "head.anchors: unknown key 'ratios'; use type, strides,"),
        ({"anchors": "ssd"}, "head.anchors: 'ssd' does not fit; use a mapping"),
        ({"scale_factors": [10, 10]}, "head.scale_factors: .* use a list of 4 numbers"),
        ({"activation": "tanh"}, "head.activation: 'tanh' is not known; use one of sigmoid, soft"),
        ({"decoded": "yes"}, "head.decoded: 'yes' does not fit; use true or false"),
    ],
)
def test_options_that_do_not_fit_are_named(head_for, options, expected):
    with pytest.raises(ModelError, match=expected):
        head_for("ssd", SHAPES, size=(100, 100), **options)


def test_a_number_of_classes_that_the_labels_do_not_have_is_refused(head_for):
    with pytest.raises(
        ModelError, match=r"it must be \(1, N, 3\) or \(1, N, 4\), a score for each"
    ):
        head_for("ssd", SHAPES | {"scores": (1, 6, 91)}, **SMALL)
