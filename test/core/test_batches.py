"""Several pictures in one inference: each is found as if it were alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends import (
    BackendDescription,
    BackendError,
    BackendOptions,
    BatchOptions,
    TensorInfo,
    TensorrtOptions,
    open_by_format,
)
from jetson_detect.core.backends.base import Preprocessing
from jetson_detect.core.backends.batch_sizes import batch_sizes
from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import Format, Interpolation, ModelFile, ModelSpec, load_model
from jetson_detect.core.onnx_graphs import OnnxGraphError
from jetson_detect.core.onnx_graphs.open_batch import open_batch
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

onnx = pytest.importorskip("onnx", reason="onnx, which opens the demo model's batch, is missing")
pytest.importorskip("onnxruntime", reason="ONNX Runtime, which runs it, is not installed")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

MODEL = load_model(find_model("demo"))
DEMO = MODEL.files_for([Format.ONNX])[0].path
LINEAR = replace(MODEL, input=replace(MODEL.input, interpolation=Interpolation.LINEAR))
"""The GPU's kernel does not know the demo model's own interpolation."""
SELECTION = Selection.from_thresholds(MODEL.thresholds)
SIZES = [(640, 480), (320, 240), (160, 160), (200, 400), (640, 360), (97, 33), (800, 600), (64, 48)]


def wanting(pictures: int, **tensorrt: Any) -> BackendOptions:
    return BackendOptions(
        batch=BatchOptions(pictures, on_cpu=True), tensorrt=TensorrtOptions(**tensorrt)
    )


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """The demo model with an open batch."""
    path = tmp_path_factory.mktemp("dynamic") / "demo.onnx"
    onnx.save(open_batch(onnx.load(DEMO)), str(path))
    return ModelFile(Format.ONNX, path)


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Scenes of eight sizes, none like another."""
    return [
        Pixels.from_array(SceneSequence(seed=3 + index, width=width, height=height).frame(9).image)
        for index, (width, height) in enumerate(SIZES)
    ]


@pytest.fixture(scope="module")
def alone(pictures: list[Pixels]) -> list[Detections]:
    """What is found in each of them alone."""
    return found_alone(MODEL, pictures)


@pytest.fixture(scope="module")
def alone_linear(pictures: list[Pixels]) -> list[Detections]:
    """The same with the interpolation that the GPU knows."""
    return found_alone(LINEAR, pictures)


def found_alone(model: ModelSpec, pictures: list[Pixels]) -> list[Detections]:
    with Detector(model, open_by_format(ModelFile(Format.ONNX, DEMO))) as detector:
        return [detector.detect(picture, SELECTION) for picture in pictures]


def require_alike(
    found: Detections, wanted: Detections, pixels: float = 1e-3, score: float = 1e-4
) -> None:
    np.testing.assert_array_equal(found.best_class_ids, wanted.best_class_ids)
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=pixels)
    np.testing.assert_allclose(found.best_scores, wanted.best_scores, atol=score)


def in_batch(detector: Detector, pictures: list[Pixels]) -> list[Detections]:
    detector.start_batch(pictures)
    found = detector.finish_batch(SELECTION)
    assert all(isinstance(each, Detections) for each in found)
    return found  # type: ignore[return-value]


# On ONNX Runtime


def test_pictures_of_many_sizes_are_each_found_in_their_own_pixels(dynamic, pictures, alone):
    assert sum(map(len, alone)) > 8
    with Detector(MODEL, open_by_format(dynamic, wanting(8))) as detector:
        assert detector.max_batch == detector.description.max_batch == 8
        assert str(detector.description).endswith(", up to 8 pictures at once")
        detector.warm_up()
        for start, count in ((0, 8), (3, 2), (5, 1), (1, 7), (0, 8)):
            chosen = slice(start, start + count)
            for found, wanted in zip(in_batch(detector, pictures[chosen]), alone[chosen]):
                require_alike(found, wanted)
        require_alike(detector.detect(pictures[4], SELECTION), alone[4])


def test_outputs_of_all_sizes_lie_in_the_same_memory(dynamic):
    with open_by_format(dynamic, wanting(4)) as backend:
        tensor = np.random.default_rng(0).random((4, 160, 160, 3), np.float32)
        whole = {name: array.copy() for name, array in backend.run({"image": tensor}).items()}
        addresses = set()
        for size in (4, 1, 3, 4):
            found = backend.run({"image": tensor[:size]})
            addresses.add(found["heatmap"].ctypes.data)
            for name, array in found.items():
                np.testing.assert_allclose(array, whole[name][:size], atol=1e-5)
        assert len(addresses) == 1


def test_a_picture_that_cannot_be_read_costs_only_itself(dynamic, pictures, alone, monkeypatch):
    bad = [pictures[1], pictures[3]]
    resize = Preprocessor.__call__

    def refuse(self: Preprocessor, pixels: Pixels, index: int = 0) -> Any:
        if pixels in bad:
            raise PixelError("not a picture")
        return resize(self, pixels, index)

    monkeypatch.setattr(Preprocessor, "__call__", refuse)
    with Detector(MODEL, open_by_format(dynamic, wanting(8))) as detector:
        detector.start_batch(pictures[:5])
        found = detector.finish_batch(SELECTION)
        for index, each in enumerate(found):
            if pictures[index] in bad:
                assert isinstance(each, PixelError)
            else:
                require_alike(each, alone[index])
        detector.start_batch(bad)  # without any inference
        assert [str(each) for each in detector.finish_batch(SELECTION)] == ["not a picture"] * 2
        require_alike(detector.detect(pictures[0], SELECTION), alone[0])


def test_one_picture_at_a_time_is_the_default_and_that_of_the_cpu(dynamic, pictures):
    for options in (BackendOptions(), BackendOptions(batch=BatchOptions(8))):
        with Detector(MODEL, open_by_format(dynamic, options)) as detector:
            assert detector.max_batch == 1
            with pytest.raises(BackendError, match="one inference takes 1 pictures, not 2"):
                detector.start_batch(pictures[:2])
            assert len(in_batch(detector, pictures[:1])) == 1


def test_a_network_that_only_says_that_it_takes_several_is_given_one_at_a_time(
    tmp_path, pictures, alone
):
    model = onnx.load(DEMO)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"  # the Reshapes stay as they are
    onnx.save(model, str(tmp_path / "m.onnx"))
    file = ModelFile(Format.ONNX, tmp_path / "m.onnx")
    with Detector(MODEL, open_by_format(file, wanting(8))) as detector:
        detector.warm_up()
        assert detector.max_batch == detector.description.max_batch == 1
        assert "inference failed" in detector.description.details["batch"]
        require_alike(detector.detect(pictures[0], SELECTION), alone[0])


def test_a_batch_that_cannot_be_opened_is_refused_with_the_remedy():
    model = open_batch(onnx.load(DEMO))
    with pytest.raises(OnnxGraphError, match=r"'image' is not for one picture.*open first axis"):
        open_batch(model)


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ([(None, 4, 6, 3)], (1, 8)),
        ([(1, 4, 6, 3)], (1, 1)),
        ([(4, 4, 6, 3)], (4, 4)),
        ([(None, 4, 6, 3), (None, 4, 6, 3)], (1, 8)),
        ([(None, 4, 6, 3), (1, 4, 6, 3)], (1, 1)),
        ([(480, 640, 3)], (1, 1)),
        ([()], (1, 1)),
    ],
)
def test_the_inputs_say_how_many_pictures_fit(shapes, wanted):
    inputs = [TensorInfo("x", shape, np.dtype(np.float32)) for shape in shapes]
    assert batch_sizes(inputs, 8) == wanted


# By hand


class DiagonalBackend(Closing):
    """Finds in each picture one ball whose row is the picture's grey value; always of a batch."""

    input_arrays: Mapping[str, np.ndarray] = {}

    def __init__(self, least: int, most: int, output_axis: int | None = None) -> None:
        self.given: list[int] = []
        self.outputs = {"heatmap": 6, "offset": 2, "size": 2}
        self.wrong_length = False
        axis = (most if least == most else None) if output_axis is None else output_axis
        dtype = np.dtype(np.float32)
        self.description = BackendDescription(
            "diagonal",
            "none",
            "none",
            MODEL.files[0],
            (TensorInfo("image", (most if least == most else None, 160, 160, 3), dtype),),
            tuple(
                TensorInfo(name, (axis, 40, 40, size), dtype) for name, size in self.outputs.items()
            ),
            max_batch=most,
            min_batch=least,
        )

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        (tensor,) = inputs.values()
        self.given.append(len(tensor))
        outputs = {
            name: np.zeros((len(tensor) + self.wrong_length, 40, 40, size), np.float32)
            for name, size in self.outputs.items()
        }
        for index, picture in enumerate(tensor):
            if np.isfinite(picture).all():
                row = round(float(picture[80, 80, 0]) * 255) % 40
                outputs["heatmap"][index, row, 20, 0] = 0.9
        return outputs

    def close(self) -> None:
        pass


def grey(value: int, width: int = 160, height: int = 160) -> Pixels:
    return Pixels.from_array(np.full((height, width, 3), value, np.uint8))


def rows(detector: Detector, *values: int) -> list[int]:
    detector.start_batch([grey(value) for value in values])
    return [
        round(float(each.boxes[0, 1::2].mean()) / 4)
        for each in detector.finish_batch(SELECTION)
        if isinstance(each, Detections)
    ]


@pytest.mark.parametrize(("least", "most"), [(1, 4), (3, 4), (4, 4)])
def test_a_network_that_wants_more_pictures_is_given_others_that_nobody_looks_at(least, most):
    backend = DiagonalBackend(least, most)
    detector = Detector(MODEL, backend)
    detector.warm_up()
    assert rows(detector, 30, 5, 21, 9) == [30, 5, 21, 9]
    assert rows(detector, 7, 8) == [7, 8]
    assert rows(detector, 33) == [33]
    assert backend.given[-3:] == [4, max(2, least), max(1, least)]
    found = detector.detect(grey(12), SELECTION)
    assert len(found) == 1


def test_outputs_of_another_number_of_pictures_are_refused():
    backend = DiagonalBackend(1, 4)
    detector = Detector(MODEL, backend)
    backend.wrong_length = True
    detector.start_batch([grey(1), grey(2)])
    with pytest.raises(BackendError, match=r"'heatmap' has shape \(3, 40, 40, 6\) for 2 pictures"):
        detector.finish_batch(SELECTION)


def test_a_network_whose_outputs_are_of_one_picture_is_given_one():
    detector = Detector(MODEL, DiagonalBackend(1, 4, output_axis=1))
    assert detector.max_batch == 1
    assert "output 'heatmap' has no axis for more" in detector.description.details["batch"]
    assert rows(detector, 17) == [17]


def test_the_padding_is_right_at_each_place_when_sizes_change():
    spec = replace(MODEL.input, padding_value=77)
    info = TensorInfo("image", (1, 160, 160, 3), np.dtype(np.float32))
    together = Preprocessor(spec, info, batch=3)
    tensor = together.tensor
    assert tensor.shape == (3, 160, 160, 3)
    for sizes in ([(320, 160), (160, 320), (160, 160)], [(160, 320), (320, 160), (80, 33)]):
        for index, (width, height) in enumerate(sizes):
            picture = grey(200 + index, width, height)
            given, transform = together(picture, index)
            expected, wanted = Preprocessor(spec, info)(picture)
            assert given is tensor
            assert transform == wanted
            np.testing.assert_array_equal(tensor[index : index + 1], expected)


# On the simulated TensorRT


@pytest.fixture
def plan(gpu, dynamic) -> Iterator[ModelFile]:
    profile = {"image": [[size, 160, 160, 3] for size in (1, 4, 8)]}
    yield ModelFile(Format.TENSORRT, gpu.plan(dynamic.path, profiles=[profile]))
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("where", [Preprocessing.GPU, Preprocessing.CPU])
def test_an_engine_takes_as_many_as_its_profile_in_their_true_number(
    gpu, kernel, plan, pictures, alone_linear, integrated, where
):
    gpu.machine.integrated = integrated
    with Detector(LINEAR, open_by_format(plan, wanting(16, preprocessing=where))) as detector:
        assert detector.max_batch == 8
        assert detector.depth == 2
        detector.warm_up()
        blocks = 0
        for start, count in ((0, 8), (6, 2), (2, 5), (0, 8), (7, 1), (1, 7)):
            chosen, other = slice(start, start + count), slice(0, 3)
            detector.start_batch(pictures[chosen])
            detector.start_batch(pictures[other])  # while the first is on its way
            for wanted in (alone_linear[chosen], alone_linear[other]):
                found = detector.finish_batch(SELECTION)
                assert len(found) == len(wanted)
                for each, one in zip(found, wanted):
                    # The kernel is within 1 of 255 of OpenCV.
                    require_alike(each, one, pixels=1.0, score=0.01)
            blocks = blocks or len(gpu.machine.blocks)
        if where is Preprocessing.CPU:
            assert len(gpu.machine.blocks) == blocks  # all was there for the largest batch


def test_an_engine_that_is_asked_for_one_at_a_time_takes_one(plan, pictures):
    with Detector(MODEL, open_by_format(plan, wanting(1))) as detector:
        assert detector.max_batch == 1
        assert len(in_batch(detector, pictures[:1])) == 1


@pytest.mark.parametrize("where", [Preprocessing.GPU, Preprocessing.CPU])
def test_an_engine_built_for_a_fixed_number_is_given_that_many(
    gpu, kernel, dynamic, pictures, alone_linear, where
):
    profile = {"image": [[4, 160, 160, 3]] * 3}
    path = gpu.plan(dynamic.path, profiles=[profile])
    file = ModelFile(Format.TENSORRT, path)
    with Detector(LINEAR, open_by_format(file, wanting(8, preprocessing=where))) as detector:
        description = detector.description
        assert (description.min_batch, description.max_batch) == (4, 4)
        assert description.details["cuda graph"] == "on"
        for count in (4, 2, 1):
            for found, wanted in zip(in_batch(detector, pictures[:count]), alone_linear):
                require_alike(found, wanted, pixels=1.0, score=0.01)


def test_a_batch_that_fails_on_the_gpu_is_one_failure(gpu, plan, pictures, alone):
    with Detector(MODEL, open_by_format(plan, wanting(8))) as detector:
        detector.start_batch(pictures[:3])
        gpu.faults(fail_at=1)
        with pytest.raises(BackendError, match="inference failed"):
            detector.start_batch(pictures[3:6])
        gpu.faults()
        assert len(detector.finish_batch(SELECTION)) == 3
        assert len(in_batch(detector, pictures[3:6])) == 3


def test_the_builder_keeps_the_batch_open_as_its_profile_says(gpu, dynamic, tmp_path, pictures):
    from jetson_detect.core.engines.building import BuildOptions, build_engine

    sizes = tuple((size, 160, 160, 3) for size in (2, 3, 5))
    plan = tmp_path / "built.plan"
    plan.write_bytes(build_engine(dynamic.path, BuildOptions(profiles={"image": sizes})).plan)
    file = ModelFile(Format.TENSORRT, plan)
    with Detector(MODEL, open_by_format(file, wanting(8))) as detector:
        detector.warm_up()
        description = detector.description
        assert (description.min_batch, description.max_batch) == (2, 5)
        assert description.details["cuda graph"] == "off (batches of several sizes)"
        for count in (5, 1, 3):
            assert len(in_batch(detector, pictures[:count])) == count


# On TensorFlow


def test_a_network_whose_batch_tensorflow_leaves_open_takes_several(
    tf, demo_exports, pictures, alone
):
    file = ModelFile(Format.SAVED_MODEL, demo_exports.variable_saved_model)
    backend = open_by_format(file, wanting(4))
    arrays = backend.input_arrays
    assert {array.shape for array in arrays.values()} <= {(4, 160, 160, 3)}
    with Detector(MODEL, backend) as detector:
        assert detector.max_batch == 4
        detector.warm_up()
        for start, count in ((0, 4), (2, 3), (1, 1)):
            chosen = slice(start, start + count)
            for found, wanted in zip(in_batch(detector, pictures[chosen]), alone[chosen]):
                require_alike(found, wanted)
