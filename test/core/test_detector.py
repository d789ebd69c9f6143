from __future__ import annotations

from collections import deque
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
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import HeadSpec, InputSpec, ModelSpec, Precision, load_model
from jetson_detect.core.pixels import PixelError, Pixels
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

    input_arrays: Mapping[str, np.ndarray] = {}

    def __init__(self, outputs: dict[str, np.ndarray], input_name: str = "image") -> None:
        self._outputs = outputs
        self.closed = False
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
    own = np.full((1, 160, 160, 3), np.nan, np.float32)
    backend.input_arrays = {"image": own}
    Detector(MODEL, backend).detect(Pixels.from_array(np.zeros((9, 9, 3), np.uint8)), SELECTION)
    assert backend.seen is own
    assert not np.isnan(own).any()


def test_a_backend_without_memory_of_its_own_is_given_the_same_tensor_each_time():
    backend = RecordedBackend(outputs(1, 1, 1, 1))
    detector = Detector(MODEL, backend)
    tensors = []
    for size in (9, 9, 20):
        detector.detect(Pixels.from_array(np.zeros((size, size, 3), np.uint8)), SELECTION)
        tensors.append(backend.seen)
    assert tensors[0] is tensors[1] is tensors[2]


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


def test_the_next_picture_may_be_prepared_before_the_last_one_is_decoded():
    backend = RecordedBackend(outputs(20, 20, 10, 5))
    detector = Detector(MODEL, backend)
    large, small = (Pixels.from_array(np.zeros((h, 640, 3), np.uint8)) for h in (480, 320))
    expected = [detector.detect(pixels, SELECTION).boxes.tolist() for pixels in (large, small)]
    transform = detector.prepare(large)
    found = detector.infer()
    next_transform = detector.prepare(small)
    assert set(found) == set(detector.head_spec.outputs)
    assert [
        detector.decode(found, each, SELECTION).boxes.tolist()
        for each in (transform, next_transform)
    ] == expected
    assert expected[0] != expected[1]


def test_inference_sees_the_picture_that_was_prepared_last():
    backend = RecordedBackend(outputs(20, 20, 10, 5))
    detector = Detector(MODEL, backend)
    for grey in (0, 255):
        detector.prepare(Pixels.from_array(np.full((160, 160, 3), grey, np.uint8)))
    detector.infer()
    assert backend.seen is not None
    np.testing.assert_array_equal(backend.seen, np.ones((1, 160, 160, 3), np.float32))


def test_outputs_that_are_not_finite_are_refused_when_they_are_decoded():
    given_outputs = outputs(20, 20, 10, 5)
    given_outputs["size"][0, 3, 3, 1] = np.nan
    detector = Detector(MODEL, RecordedBackend(given_outputs))
    transform = detector.prepare(Pixels.from_array(np.zeros((9, 9, 3), np.uint8)))
    found = detector.infer()
    with pytest.raises(BackendError, match="'size' has 1 of 3200 numbers"):
        detector.decode(found, transform, SELECTION)


# Several pictures in flight


BOX = outputs(20, 20, 10, 5)
"""A ball in the centre of the input, 40 x 20 pixels."""
BOX_AT_640X480 = [[240, 200, 400, 280]]
BOX_AT_320X320 = [[120, 140, 200, 180]]


class PipelinedBackend(RecordedBackend):
    """Has memory for the input of each inference in flight, and reads it when that is finished."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__(BOX)
        self.depth = depth
        self.memories = [np.full((1, 160, 160, 3), np.nan, np.float32) for _ in range(depth)]
        self.in_flight: deque[Mapping[str, np.ndarray]] = deque()
        self.inferred: list[np.ndarray] = []
        """What was in the input at each inference."""
        self.failure: Exception | None = None
        """Raised by the next start."""

    @property
    def input_arrays(self) -> Mapping[str, np.ndarray]:
        return {"image": self.memories[0]}

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.in_flight:
            raise BackendError("finish() before run()")
        self.start(inputs)
        return self.finish()

    def start(self, inputs: Mapping[str, Any]) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.in_flight.append(inputs)
        self.memories.append(self.memories.pop(0))

    def finish(self) -> Mapping[str, Any]:
        inputs = self.in_flight.popleft()
        self.inferred += [inputs[name].copy() for name in inputs]
        return self._outputs


class PictureBackend(PipelinedBackend):
    """Takes pictures as they are."""

    def __init__(self, takes_pictures: bool = True) -> None:
        super().__init__()
        self.pictures: list[Pixels] = []
        self.asked: tuple[str, InputSpec] | None = None
        self._takes_pictures = takes_pictures

    def preprocessor(self, name: str, spec: InputSpec) -> Any:
        self.asked = name, spec
        return self._take if self._takes_pictures else None

    def _take(self, pixels: Pixels, index: int = 0) -> ImageTransform:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.pictures.append(pixels)
        return ImageTransform.fit(pixels.size, (160, 160), MODEL.input.resize)


def picture(width: int, height: int, grey: int = 0) -> Pixels:
    return Pixels.from_array(np.full((height, width, 3), grey, np.uint8))


def boxes(detector: Detector) -> list[list[int]]:
    return detector.finish(SELECTION).boxes.round(3).tolist()


def letterboxed(width: int, height: int, grey: int) -> np.ndarray:
    """What a picture that fits without a resize has to be in the input."""
    tensor = np.full((1, 160, 160, 3), np.float32(114 / 255))
    top, left = (160 - height) // 2, (160 - width) // 2
    tensor[:, top : top + height, left : left + width] = np.float32(grey / 255)
    return tensor


@pytest.mark.parametrize("kind", [PipelinedBackend, PictureBackend])
def test_pictures_in_flight_come_back_in_order_each_in_its_own_pixels(kind):
    detector = Detector(MODEL, kind())
    assert detector.depth == 2
    detector.start(picture(640, 480))
    detector.start(picture(320, 320))
    assert boxes(detector) == BOX_AT_640X480
    detector.start(picture(640, 480))
    assert boxes(detector) == BOX_AT_320X320
    assert boxes(detector) == BOX_AT_640X480


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3),
    st.lists(st.none() | st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=12),
)
def test_a_picture_in_flight_is_found_as_if_it_were_alone(depth, steps):
    """A size starts a picture of that size, None finishes one; what cannot be is refused."""
    detector = Detector(MODEL, PipelinedBackend(depth))
    alone = Detector(MODEL, RecordedBackend(BOX))
    in_flight: deque[Pixels] = deque()
    for size in steps:
        if size is None and in_flight:
            expected = alone.detect(in_flight.popleft(), SELECTION)
            found = detector.finish(SELECTION)
            np.testing.assert_array_equal(found.boxes, expected.boxes)
        elif size is None:
            with pytest.raises(BackendError, match="no picture was started"):
                detector.finish(SELECTION)
        elif len(in_flight) < depth:
            in_flight.append(picture(*size))
            detector.start(in_flight[-1])
        else:
            with pytest.raises(BackendError, match=f"{depth} pictures are in flight"):
                detector.start(picture(*size))


def test_each_picture_in_flight_lies_in_memory_of_its_own():
    backend = PipelinedBackend()
    first, second = backend.memories
    detector = Detector(MODEL, backend)
    detector.start(picture(160, 160, grey=51))
    detector.start(picture(160, 160, grey=255))
    assert [inputs["image"] is own for inputs, own in zip(backend.in_flight, (first, second))] == [
        True,
        True,
    ]
    assert np.unique(first).tolist() == [np.float32(0.2)]
    assert np.unique(second).tolist() == [1.0]


def test_the_padding_is_right_in_each_memory_however_sizes_alternate():
    backend = PipelinedBackend()
    detector = Detector(MODEL, backend)
    sizes = [(160, 80), (80, 160), (160, 120)] * 2  # each of them in both memories
    detector.start(picture(160, 160, grey=200))
    for grey, size in enumerate(sizes):
        detector.start(picture(*size, grey=grey))
        detector.finish(SELECTION)
    detector.finish(SELECTION)
    for grey, (size, tensor) in enumerate(zip(sizes, backend.inferred[1:])):
        np.testing.assert_allclose(tensor, letterboxed(*size, grey), rtol=1e-6)


def test_a_backend_that_takes_pictures_gets_them_as_they_are_and_no_tensors():
    backend = PictureBackend()
    detector = Detector(MODEL, backend)
    assert backend.asked == ("image", MODEL.input)
    given_pictures = [picture(640, 480), picture(320, 320)]
    for each in given_pictures:
        detector.start(each)
    assert list(backend.in_flight) == [{}, {}]
    assert all(own is given for own, given in zip(backend.pictures, given_pictures))
    assert all(np.isnan(memory).all() for memory in backend.memories)


def test_a_backend_that_could_take_pictures_but_not_this_models_gets_tensors():
    backend = PictureBackend(takes_pictures=False)
    detector = Detector(MODEL, backend)
    detector.start(picture(160, 160, grey=255))
    assert boxes(detector) == [[60, 70, 100, 90]]
    assert backend.pictures == []
    np.testing.assert_array_equal(backend.inferred[0], np.ones((1, 160, 160, 3), np.float32))


@pytest.mark.parametrize("kind", [RecordedBackend, PipelinedBackend])
def test_to_finish_what_was_not_started_is_refused(kind):
    detector = Detector(MODEL, RecordedBackend(BOX) if kind is RecordedBackend else kind())
    with pytest.raises(BackendError, match=r"demo_.*: no picture was started: call start\(\)"):
        detector.finish(SELECTION)
    detector.start(picture(640, 480))
    assert boxes(detector) == BOX_AT_640X480
    with pytest.raises(BackendError, match="no picture was started"):
        detector.finish(SELECTION)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        (PictureBackend, PixelError("not a picture")),  # when it is prepared
        (PipelinedBackend, BackendError("the GPU is gone")),  # when it is started
    ],
)
def test_of_a_picture_that_raises_nothing_is_in_flight(kind, failure):
    backend = kind()
    detector = Detector(MODEL, backend)
    detector.start(picture(640, 480))
    backend.failure = failure
    with pytest.raises(type(failure), match=str(failure)):
        detector.start(picture(100, 300))
    detector.start(picture(320, 320))
    assert boxes(detector) == BOX_AT_640X480
    assert boxes(detector) == BOX_AT_320X320
    with pytest.raises(BackendError, match="no picture was started"):
        detector.finish(SELECTION)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_picture_too_many_is_refused_and_those_in_flight_stay_whole(depth):
    backend = PipelinedBackend(depth)
    detector = Detector(MODEL, backend)
    for grey in range(depth):
        detector.start(picture(160, 160, grey=grey))
    for one_more in (
        detector.start,
        detector.prepare,
        lambda each: detector.detect(each, SELECTION),
    ):
        with pytest.raises(
            BackendError, match=rf"{depth} pictures are in flight, no more fit: finish\(\) one"
        ):
            one_more(picture(80, 80, grey=255))
    for grey in range(depth):
        assert boxes(detector) == [[60, 70, 100, 90]]
        np.testing.assert_allclose(backend.inferred[grey], letterboxed(160, 160, grey), rtol=1e-6)


def test_a_backend_that_takes_one_at_a_time_keeps_the_picture_that_was_started():
    backend = RecordedBackend(BOX)
    detector = Detector(MODEL, backend)
    assert detector.depth == 1
    detector.start(picture(160, 160, grey=255))
    with pytest.raises(BackendError, match="1 pictures are in flight"):
        detector.start(picture(160, 160, grey=0))
    assert boxes(detector) == [[60, 70, 100, 90]]
    np.testing.assert_array_equal(backend.seen, np.ones((1, 160, 160, 3), np.float32))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_to_warm_up_is_to_infer_once_in_each_memory(depth):
    backend = PipelinedBackend(depth)
    Detector(MODEL, backend).warm_up()
    assert len(backend.inferred) == depth
    for memory in backend.memories:
        np.testing.assert_allclose(memory, letterboxed(160, 160, 114), rtol=1e-6)
