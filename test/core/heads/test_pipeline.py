"""Heads inside a detector: proposed, oriented and already suppressed ones."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from jetson_detect.core.backends.base import BackendDescription, TensorInfo
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection

FLOAT32 = np.dtype(np.float32)
HALF = Selection(score_threshold=0.5)
MODEL = """\
name: tiny
license: Apache-2.0
files: [{format: onnx, path: tiny.onnx}]
input: {width: 100, height: 100, layout: NCHW, color_order: RGB, resize: RESIZE}
head: {type: auto}
labels: [ball, box, cone]
"""


class RecordedBackend:
    """Answers each picture with the same outputs."""

    input_arrays: dict[str, np.ndarray] = {}  # noqa: RUF012

    def __init__(self, file, outputs):
        self._outputs = outputs
        self.description = BackendDescription(
            backend="recorded",
            runtime="none",
            device="none",
            file=file,
            inputs=(TensorInfo("image", (1, 3, 100, 100), FLOAT32),),
            outputs=tuple(
                TensorInfo(name, array.shape, array.dtype) for name, array in outputs.items()
            ),
        )

    def run(self, inputs):
        return self._outputs

    def close(self):
        pass


@pytest.fixture
def detect(tmp_path):
    """Detect in a black picture of 200 x 100, what outputs say; returns detector and findings."""

    def run(outputs, selection=HALF, resize="letterbox"):
        (tmp_path / "tiny.onnx").write_bytes(b"")
        (tmp_path / "model.yaml").write_text(MODEL.replace("RESIZE", resize))
        model = load_model(tmp_path)
        detector = Detector(model, RecordedBackend(model.files[0], outputs))
        image = Pixels.from_array(np.zeros((100, 200, 3), np.uint8))
        return detector, detector.detect(image, selection)

    return run


def oriented(*rows):
    """YOLO-OBB: cx, cy, w, h, three scores, angle; two source pixels for one of the network."""
    table = np.zeros((1, 8, 189), np.float32)
    for index, row in enumerate(rows):
        table[0, :, index] = row
    return {"output0": table}


def test_the_head_that_is_proposed_decodes_and_can_be_asked_for(detect):
    outputs = {"output0": np.zeros((1, 7, 189), np.float32)}
    outputs["output0"][0, :, 3] = [50, 50, 20, 10, 0, 0.9, 0]
    detector, found = detect(outputs)
    assert detector.head_spec.type == "yolov8"
    # Bars of 25 above and below: y (50 - 25) * 2 = 50.
    np.testing.assert_allclose(found.boxes, [[80, 40, 120, 60]], atol=1e-4)
    assert found.best_class_ids.tolist() == [1]
    assert found.angles is None


def test_angles_reach_the_detections_and_boxes_are_not_clipped(detect):
    rows = (90, 50, 40, 10, 0.9, 0, 0, 0.25), (40, 40, 20, 10, 0, 0, 0.8, -1.0)
    detector, found = detect(oriented(*rows))
    assert detector.head_spec.type == "yolo_obb"
    # Centre (180, 50), 80 x 20: it reaches over the right border at 200.
    np.testing.assert_allclose(found.boxes, [[140, 40, 220, 60], [60, 20, 100, 40]], atol=1e-4)
    np.testing.assert_allclose(found.angles, [0.25, -1.0], rtol=1e-6)
    assert found.best_class_ids.tolist() == [0, 2]


def test_oriented_boxes_that_cover_each_other_are_suppressed_and_others_stay(detect):
    same = (50, 50, 40, 10, 0.9, 0, 0, 0.3), (51, 50, 40, 10, 0.8, 0, 0, 0.32)
    crossing = (50, 50, 40, 10, 0.7, 0, 0, 0.3 + math.pi / 2)
    _, found = detect(oriented(*same, crossing))
    np.testing.assert_allclose(found.best_scores, [0.9, 0.7])
    np.testing.assert_allclose(found.angles, [0.3, 0.3 + math.pi / 2], rtol=1e-6)


def test_an_oriented_box_in_the_padding_is_left_out(detect):
    _, found = detect(oriented((50, 8, 20, 10, 0.9, 0, 0, 0.2), (50, 50, 9, 9, 0.8, 0, 0, 0.2)))
    np.testing.assert_allclose(found.best_scores, [0.8])
    assert found.angles is not None
    assert found.angles.shape == (1,)


def test_an_angle_turns_x_towards_y_as_opencv_draws_it(detect):
    # A stick from (20, 30) towards (60, 60) of the network, 50 long and 4 thick: 3-4-5 triangle.
    angle = math.atan2(30, 40)
    _, found = detect(oriented((40, 45, 50, 4, 0.9, 0, 0, angle)))
    ((x1, y1, x2, y2),) = found.boxes.tolist()
    points = cv2.boxPoints(
        (((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1), math.degrees(found.angles[0]))
    )
    # Ends at (20, 30) and (60, 60), so in the source at (40, 10) and (120, 70).
    ends = [points[[0, 1]].mean(axis=0), points[[2, 3]].mean(axis=0)]
    np.testing.assert_allclose(sorted(map(list, ends)), [[40, 10], [120, 70]], atol=1e-3)


def test_stretching_is_undone_for_oriented_boxes(detect):
    # x is stretched by 2, y not at all: a stick upright stays as long, one lying doubles.
    rows = (30, 50, 20, 10, 0.9, 0, 0, 0.0), (70, 50, 20, 10, 0.8, 0, 0, math.pi / 2)
    _, found = detect(oriented(*rows), resize="stretch")
    np.testing.assert_allclose(found.boxes, [[40, 45, 80, 55], [130, 40, 150, 60]], atol=1e-4)


def test_lists_of_detections_come_best_first_and_no_more_than_asked_for(detect):
    rows = np.zeros((1, 50, 6), np.float32)
    rows[0, :3] = [[10, 30, 20, 40, 0.6, 0], [10, 30, 20, 40, 0.9, 0], [40, 30, 60, 50, 0.8, 7]]
    detector, found = detect({"output0": rows}, Selection(score_threshold=0.5, max_detections=2))
    assert detector.head_spec.type == "yolo_end_to_end"
    np.testing.assert_allclose(found.best_scores, [0.9, 0.8])
    assert found.best_class_ids.tolist() == [0, 7]


def test_what_a_network_has_suppressed_is_not_suppressed_again(detect):
    rows = np.zeros((1, 50, 6), np.float32)
    rows[0, :2] = [[10, 30, 20, 40, 0.9, 0], [10, 30, 20, 40, 0.6, 0]]
    _, found = detect({"output0": rows})
    np.testing.assert_allclose(found.best_scores, [0.9, 0.6])


def test_nothing_found_is_no_detections_of_either_kind(detect):
    _, found = detect(oriented())
    assert len(found) == 0
    assert found.angles is not None
    assert found.angles.shape == (0,)
