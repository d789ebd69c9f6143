"""Networks that end in their own suppression.

Conventions of the four, none of which our code was asked for:

- TensorFlow Object Detection API: research/object_detection/exporter_lib_v2.py and
  core/post_processing.py (https://github.com/tensorflow/models): [ymin, xmin, ymax, xmax] / size,
  classes from 1;
- TFLite_Detection_PostProcess: tensorflow/lite/kernels/detection_postprocess.cc: the same from 0;
- EfficientNMS: https://github.com/NVIDIA/TensorRT/blob/main/plugin/efficientNMSPlugin/README.md;
- RT-DETR: tools/export_onnx.py of https://github.com/lyuwenyu/RT-DETR: labels, boxes, scores.
"""

from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.model import ModelError
from jetson_detect.core.selection import Selection

SHAPES = {"boxes": (1, 4, 4), "scores": (1, 4), "classes": (1, 4), "count": (1,)}
# In an input of 640 x 480: x 64..320, y 120..360, and x 0..640, y 0..48.
NORMALIZED_YXYX = [[0.25, 0.1, 0.75, 0.5], [0.0, 0.0, 0.1, 1.0], [0.5, 0.5, 0.6, 0.6], [0] * 4]
PIXELS_XYXY = [[64, 120, 320, 360], [0, 0, 640, 48], [320, 240, 384, 288], [0] * 4]
SCORES = [0.9, 0.6, 0.2, 0.0]


def outputs(boxes, classes, count=3, dtype=np.float32):
    return {
        "boxes": np.array([boxes], np.float32),
        "scores": np.array([SCORES], np.float32),
        "classes": np.array([classes], dtype),
        "count": np.array([count], dtype),
    }


@pytest.mark.parametrize(
    ("kind", "boxes", "classes"),
    [
        ("tf_object_detection", NORMALIZED_YXYX, [3, 1, 2, 1]),
        ("tflite_detection_postprocess", NORMALIZED_YXYX, [2, 0, 1, 0]),
        ("efficient_nms", PIXELS_XYXY, [2, 0, 1, 0]),
    ],
)
def test_each_network_s_boxes_and_classes_come_out_alike(head_for, kind, boxes, classes):
    head = head_for(kind, SHAPES)
    found = head.decode(outputs(boxes, classes), Selection(score_threshold=0.5))
    assert head.suppressed
    np.testing.assert_allclose(found.boxes, PIXELS_XYXY[:2], atol=1e-3)
    np.testing.assert_allclose(found.scores, [[0.9], [0.6]])
    assert found.class_ids.tolist() == [[2], [0]]


def test_rt_detr_has_no_count_and_its_labels_are_integers(head_for):
    shapes = {part: SHAPES[part] for part in ("boxes", "scores", "classes")}
    head = head_for("rt_detr_postprocessed", shapes)
    given = outputs(PIXELS_XYXY, [2, 0, 1, 0], dtype=np.int64)
    del given["count"]
    found = head.decode(given, Selection(score_threshold=0.5))
    np.testing.assert_array_equal(found.boxes, PIXELS_XYXY[:2])
    assert found.class_ids.tolist() == [[2], [0]]


def test_entries_beyond_the_count_are_not_read(head_for):
    # The plugin leaves what it likes there (README: "only the top num_detections are valid").
    head = head_for("efficient_nms", SHAPES | {"count": (1, 1)})
    given = outputs(PIXELS_XYXY, [2, 0, 1, 0], count=1, dtype=np.int32)
    given["count"] = given["count"].reshape(1, 1)
    found = head.decode(given, Selection(score_threshold=0.1))
    assert found.scores.tolist() == [[np.float32(0.9)]]


def test_a_count_of_none_gives_nothing(head_for):
    head = head_for("efficient_nms", SHAPES)
    assert len(head.decode(outputs(PIXELS_XYXY, [0] * 4, count=0), Selection())) == 0


def test_empty_slots_are_left_out_even_with_a_threshold_of_zero(head_for):
    head = head_for("tflite_detection_postprocess", SHAPES)
    found = head.decode(outputs(NORMALIZED_YXYX, [0] * 4, count=4), Selection(score_threshold=0.0))
    assert len(found) == 3


def test_only_wanted_classes_come_through(head_for):
    head = head_for("tf_object_detection", SHAPES)
    wanted = Selection(score_threshold=0.1, class_ids=frozenset({0}))
    found = head.decode(outputs(NORMALIZED_YXYX, [3, 1, 2, 1]), wanted)
    assert found.class_ids.tolist() == [[0]]
    np.testing.assert_allclose(found.boxes, [PIXELS_XYXY[1]], atol=1e-3)


def test_a_class_beyond_the_labels_keeps_its_number(head_for):
    head = head_for("tf_object_detection", SHAPES)
    found = head.decode(outputs(NORMALIZED_YXYX, [90, 0, 2, 1]), Selection(score_threshold=0.5))
    assert found.class_ids.tolist() == [[89], [-1]]


def test_the_options_say_how_another_network_writes_boxes(head_for):
    # Google's EfficientDet on TensorRT feeds the plugin y, x from 0 to 1.
    head = head_for("efficient_nms", SHAPES, box_format="yxyx", box_units="normalized")
    found = head.decode(outputs(NORMALIZED_YXYX, [2, 0, 1, 0]), Selection(score_threshold=0.5))
    np.testing.assert_allclose(found.boxes, PIXELS_XYXY[:2], atol=1e-3)


def test_the_offset_of_the_classes_can_be_set(head_for):
    head = head_for("tflite_detection_postprocess", SHAPES, class_offset=1)
    found = head.decode(outputs(NORMALIZED_YXYX, [3, 1, 2, 1]), Selection(score_threshold=0.5))
    assert found.class_ids.tolist() == [[2], [0]]


def test_further_hypotheses_come_from_the_scores_of_all_classes(head_for):
    # detection_multiclass_scores has the background first; the first entry is for class 2 (0.9),
    # then class 0 (0.4) and class 1 (0.1, below the threshold).
    head = head_for("tf_object_detection", SHAPES | {"multiclass_scores": (1, 4, 4)})
    given = outputs(NORMALIZED_YXYX, [3, 1, 2, 1])
    given["multiclass_scores"] = np.array(
        [[[0.05, 0.4, 0.1, 0.9], [0.0, 0.6, 0.7, 0.0], [0.0] * 4, [0.0] * 4]], np.float32
    )
    found = head.decode(given, Selection(score_threshold=0.3, hypotheses=3))
    assert found.class_ids[:, :2].tolist() == [[2, 0], [0, 1]]
    # The second entry's class 1 is better than the class that it is listed for: held to 0.6.
    np.testing.assert_allclose(found.scores, [[0.9, 0.4, 0.0], [0.6, 0.6, 0.0]])


def test_a_file_without_static_shapes_is_taken(head_for):
    shapes = dict.fromkeys(SHAPES, ())
    head = head_for("tflite_detection_postprocess", shapes)
    found = head.decode(outputs(NORMALIZED_YXYX, [2, 0, 1, 0]), Selection(score_threshold=0.5))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("shapes", "options", "expected"),
    [
        ({"boxes": (1, 4, 5)}, {}, r"head.outputs.boxes: 'boxes' has shape \(1, 4, 5\); it must be "
         r"\(1, N, 4\)"),
        ({"count": (4,)}, {}, r"head.outputs.count: .* it must be \(1\) or \(1, 1\)"),
        ({"anchors": (1, 4)}, {}, "needs boxes, scores, classes and may have count"),
        ({}, {"class_offset": "one"}, "head.class_offset: 'one' does not fit; use a whole number"),
        ({}, {"box_format": "xywh"}, "head.box_format: 'xywh' is not known; use one of xyxy,"),
        ({}, {"offset": 1}, "head: unknown key 'offset'; use class_offset, box_format, box_units"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(head_for, shapes, options, expected):
    with pytest.raises(ModelError, match=expected):
        head_for("tf_object_detection", SHAPES | shapes, **options)
