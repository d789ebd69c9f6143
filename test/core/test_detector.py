from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends import (
    BackendDescription,
    BackendError,
    TensorInfo,
    open_backend,
)
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.evaluation import Evaluator
from jetson_detect.core.model import HeadSpec, ModelSpec, Precision, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
SELECTION = Selection.from_thresholds(MODEL.thresholds)
FLOAT32 = np.dtype(np.float32)


@pytest.fixture(scope="module")
def detector():
    with Detector(MODEL, open_backend(MODEL, "tflite")) as detector:
        yield detector


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_the_demo_model_finds_what_is_drawn(precision):
    scenes = SceneSequence(seed=23, width=640, height=480)
    evaluator = Evaluator(MODEL.labels)
    with Detector(MODEL, open_backend(MODEL, "tflite", precision=precision)) as detector:
        for index in range(0, 200, 4):
            scene = scenes.frame(index)
            found = detector.detect(Pixels.from_array(scene.image), SELECTION)
            truth = Detections.from_best(
                scene.boxes, np.ones(len(scene.boxes), np.float32), scene.class_ids
            )
            evaluator.add(found, truth)
    assert evaluator.result().map50 > 0.9


def test_boxes_follow_the_size_of_the_picture(detector):
    image = SceneSequence(seed=5, width=640, height=480).frame(0).image
    small = detector.detect(Pixels.from_array(image), SELECTION)
    large = detector.detect(
        Pixels.from_array(cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)),
        SELECTION,
    )
    assert len(small) == len(large) > 0
    np.testing.assert_allclose(large.boxes / 3, small.boxes, atol=3.0)


def test_a_picture_and_its_bytes_in_another_order_give_the_same(detector):
    image = SceneSequence(seed=5, width=640, height=480).frame(0).image
    bgr = detector.detect(Pixels.from_array(image, "bgr8"), SELECTION)
    rgb = detector.detect(Pixels.from_array(image[..., ::-1], "rgb8"), SELECTION)
    np.testing.assert_array_equal(bgr.boxes, rgb.boxes)


def test_a_grey_wall_shows_no_objects(detector):
    wall = np.full((480, 640, 3), 128, np.uint8)
    assert len(detector.detect(Pixels.from_array(wall), SELECTION)) == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32 - 1))
def test_boxes_lie_inside_any_picture_best_first(detector, width, height, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = detector.detect(
        Pixels.from_array(noise), replace(SELECTION, score_threshold=0.001, iou_threshold=1.0)
    )
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= [width, height]).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (np.diff(found.best_scores) <= 0).all()


class RecordedBackend:
    """Answers each picture with the same outputs."""

    def __init__(self, outputs: dict[str, np.ndarray], input_name: str = "image") -> None:
        self._outputs = outputs
        self.closed = False
        self.input_arrays: dict[str, np.ndarray] = {}
        self.seen: np.ndarray | None = None
        self.description = BackendDescription(
            backend="recorded",
            runtime="none",
            device="none",
            file=MODEL.files[0],
            inputs=(TensorInfo(input_name, (1, 160, 160, 3), FLOAT32),),
            outputs=tuple(
                TensorInfo(name, output.shape, FLOAT32) for name, output in outputs.items()
            ),
        )

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        (self.seen,) = inputs.values()
        return self._outputs

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> RecordedBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def outputs(x: float, y: float, width: float, height: float) -> dict[str, np.ndarray]:
    """One ball, whose centre (in cells of 4 pixels) and size (in cells) are given."""
    heatmap = np.zeros((1, 40, 40, 6), np.float32)
    offset = np.zeros((1, 40, 40, 2), np.float32)
    size = np.zeros((1, 40, 40, 2), np.float32)
    row, column = int(y), int(x)
    heatmap[0, row, column, 0] = 0.9
    offset[0, row, column] = x - column, y - row
    size[0, row, column] = np.log([width, height])
    return {"heatmap": heatmap, "offset": offset, "size": size}


def detect(box: tuple[float, float, float, float], width: int, height: int) -> Detections:
    image = Pixels.from_array(np.zeros((height, width, 3), np.uint8))
    return Detector(MODEL, RecordedBackend(outputs(*box))).detect(image, SELECTION)


def test_the_letterbox_is_undone():
    # 640x480 becomes 160x120 with 20 bars above and below: 4 source pixels for each.
    # Centre (20, 20) cells = (80, 80) px: in the source (320, (80 - 20) * 4 = 240).
    found = detect((20, 20, 10, 5), 640, 480)
    np.testing.assert_allclose(found.boxes, [[240, 200, 400, 280]], atol=1e-3)
    assert found.best_class_ids.tolist() == [0]


def test_a_box_over_the_border_is_clipped():
    found = detect((1, 20, 10, 5), 640, 480)
    np.testing.assert_allclose(found.boxes, [[0, 200, 96, 280]], atol=1e-3)


def test_a_box_in_the_padding_is_left_out():
    assert len(detect((20, 2, 4, 2), 640, 480)) == 0


def test_an_input_of_another_name_is_refused_with_those_that_exist():
    backend = RecordedBackend(outputs(1, 1, 1, 1), input_name="input_1")
    with pytest.raises(BackendError, match="has no input 'image', but input_1; name one of them"):
        Detector(MODEL, backend)


def test_an_input_that_model_yaml_does_not_name_is_found_if_it_is_the_only_one():
    unnamed: ModelSpec = replace(MODEL, input=replace(MODEL.input, name=None))
    backend = RecordedBackend(outputs(1, 1, 1, 1), input_name="input_1")
    assert Detector(unnamed, backend).description.inputs[0].name == "input_1"


def test_a_missing_output_is_refused_with_those_that_exist():
    given_outputs = outputs(1, 1, 1, 1)
    given_outputs["sizes"] = given_outputs.pop("size")
    with pytest.raises(BackendError, match="has no output size, but heatmap, offset, sizes"):
        Detector(MODEL, RecordedBackend(given_outputs))


def test_the_picture_is_written_straight_into_the_backends_own_memory():
    backend = RecordedBackend(outputs(1, 1, 1, 1))
    own = backend.input_arrays["image"] = np.full((1, 160, 160, 3), np.nan, np.float32)
    Detector(MODEL, backend).detect(Pixels.from_array(np.zeros((9, 9, 3), np.uint8)), SELECTION)
    assert backend.seen is own
    assert not np.isnan(own).any()


def test_closing_the_detector_closes_its_backend():
    backend = RecordedBackend(outputs(1, 1, 1, 1))
    with Detector(MODEL, backend):
        assert not backend.closed
    assert backend.closed


def test_a_file_whose_outputs_are_others_than_the_models_is_decoded_by_its_own_head():
    predictions = np.zeros((1, 10, 20), np.float32)
    predictions[0, :, 7] = [80, 60, 40, 20, 0, 0.75, 0, 0, 0, 0]
    backend = RecordedBackend({"p": predictions})
    own = replace(MODEL.files[0], head=HeadSpec("yolov8", {"predictions": "p"}))
    backend.description = replace(backend.description, file=own)
    image = Pixels.from_array(np.zeros((160, 160, 3), np.uint8))
    found = Detector(MODEL, backend).detect(image, SELECTION)
    np.testing.assert_array_equal(found.boxes, [[60, 50, 100, 70]])
    assert found.best_class_ids.tolist() == [MODEL.labels.index("box")]
