from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from jetson_detect.core.backends import BackendError
from jetson_detect.core.backends.tflite import TfliteBackend
from jetson_detect.core.exports import (
    DetectionPostprocess,
    ExportError,
    ExportReport,
    TfliteFlavour,
    tflite_file,
    write_tflite,
)
from jetson_detect.core.exports.trial import compare
from jetson_detect.core.model import Format, ModelFile

pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)
SOURCES = {
    TfliteFlavour.FP32: "keras",
    TfliteFlavour.FP16: "variable_saved_model",
    TfliteFlavour.DYNAMIC: "frozen_graph",
    TfliteFlavour.INT8: "frozen_graph",
}
LARGEST = {
    TfliteFlavour.FP32: 1e-5,
    TfliteFlavour.FP16: 0.02,
    TfliteFlavour.DYNAMIC: 0.1,
    TfliteFlavour.INT8: 0.3,
}
"""Differences, as a part of the range of the source's output."""
MEAN = {
    TfliteFlavour.FP32: 1e-6,
    TfliteFlavour.FP16: 1e-3,
    TfliteFlavour.DYNAMIC: 0.01,
    TfliteFlavour.INT8: 0.03,
}
BYTES = {
    TfliteFlavour.FP32: 900_000,
    TfliteFlavour.FP16: 520_000,
    TfliteFlavour.DYNAMIC: 350_000,
    TfliteFlavour.INT8: 380_000,
}
Exports = dict[TfliteFlavour, tuple[dict[str, np.ndarray], ExportReport]]


@pytest.fixture(scope="module")
def exports(demo, frames, tmp_path_factory) -> Exports:
    """The demo model in each flavour, and what it was made from."""
    folder = tmp_path_factory.mktemp("tflite")
    written = {}
    for flavour, name in SOURCES.items():
        calibration = iter(frames) if flavour is TfliteFlavour.INT8 else None
        path = folder / f"{flavour.value}.tflite"
        answered = demo(name)
        written[flavour] = (
            answered.outputs,
            write_tflite(answered.source, path, flavour, calibration),
        )
    return written


@pytest.mark.parametrize("flavour", list(TfliteFlavour))
def test_the_demo_model_answers_in_every_flavour_as_in_tensorflow(exports, frames, flavour):
    expected, report = exports[flavour]
    with TfliteBackend(ModelFile(Format.TFLITE, report.path)) as backend:
        (info,) = backend.description.inputs
        image = frames[0]["image"]
        if info.quantization is not None:
            stored = np.rint(image / info.quantization.scale) + info.quantization.zero_point
            image = np.clip(stored, -128, 127).astype(np.int8)
        assert (info.name, info.shape, info.dtype) == ("image", (1, 160, 160, 3), image.dtype)
        assert (info.dtype == np.int8) == (flavour is TfliteFlavour.INT8)
        found = backend.run({"image": image})
        assert set(found) == set(expected)
        for name, values in expected.items():
            difference = np.abs(found[name] - values) / np.ptp(values)
            assert difference.max() <= LARGEST[flavour], name
            assert difference.mean() <= MEAN[flavour], name


@pytest.mark.parametrize("flavour", list(TfliteFlavour))
def test_a_file_is_as_small_as_its_numbers(exports, flavour):
    _, report = exports[flavour]
    assert report.details["size"] == report.path.stat().st_size
    assert BYTES[flavour] * 0.8 < report.details["size"] < BYTES[flavour]
    assert set(report.details["errors"]) == {"heatmap", "offset", "size"}


def test_int8_weights_are_quantised_by_channel(exports):
    _, report = exports[TfliteFlavour.INT8]
    with TfliteBackend(ModelFile(Format.TFLITE, report.path)) as backend:
        details = backend._interpreter.get_tensor_details()
    kinds = {str(np.dtype(detail["dtype"])) for detail in details}
    assert "float32" not in kinds
    scales = [len(detail["quantization_parameters"]["scales"]) for detail in details]
    assert max(scales) > 50


def test_suppression_inside_goes_through(suppressing, tmp_path, infer):
    report = write_tflite(
        suppressing,
        tmp_path / "written.tflite",
        TfliteFlavour.FP32,
        shapes={"input_tensor": (1, 16, 12, 3)},
    )
    picture = np.random.default_rng(5).integers(0, 256, (1, 16, 12, 3), np.uint8)
    expected = infer("tensorflow", suppressing, {"input_tensor": picture})
    found = infer("tflite", ModelFile(Format.TFLITE, report.path), {"input_tensor": picture})
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


def test_sizes_that_stay_open_are_refused(suppressing, tmp_path):
    with pytest.raises(ExportError, match=r"input 'input_tensor' has dimensions that are open"):
        write_tflite(suppressing, tmp_path / "written.tflite", TfliteFlavour.FP32)


def test_operations_that_tensorflow_lite_has_not_are_named_with_a_remedy(tf, saved_model, tmp_path):
    def suppress(boxes, scores):
        found = tf.image.combined_non_max_suppression(boxes[:, :, None], scores, 10, 10)
        return {"kept": found[0]}

    source = saved_model(suppress, boxes=([1, 30, 4], "float32"), scores=([1, 30, 2], "float32"))
    with pytest.raises(
        ExportError,
        match=r"nothing for CombinedNonMaxSuppression; write .*\.NonMaxSuppressionV5\(pad_to_max",
    ):
        write_tflite(source, tmp_path / "written.tflite", TfliteFlavour.FP32)


def test_names_that_an_argument_cannot_have_are_kept(tf, graph_file, tmp_path, infer):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], "scope/image_tensor")
        tf.multiply(tf.nn.relu(x, "detection/boxes"), 2.0, "twice")

    source = graph_file(build, boxes="detection/boxes:0")
    report = write_tflite(source, tmp_path / "written.tflite", TfliteFlavour.FP32)
    x = {"scope/image_tensor": np.array([[1, -3, 2]], np.float32)}
    found = infer("tflite", ModelFile(Format.TFLITE, report.path), x)
    assert {name: values.tolist() for name, values in found.items()} == {
        "detection/boxes:0": [[1, 0, 2]],
        "twice": [[2, 0, 4]],
    }


def test_int8_without_frames_or_with_others_is_refused(tf, saved_model, tmp_path):
    source = saved_model(lambda x: {"y": x * 2.0}, x=([None, 4], "float32"))
    path = tmp_path / "written.tflite"
    with pytest.raises(ExportError, match="int8 needs calibration frames, and there are none"):
        write_tflite(source, path, TfliteFlavour.INT8, [])
    with pytest.raises(ExportError, match="there is no tensor for input 'x', but for image"):
        write_tflite(source, path, TfliteFlavour.INT8, [{"image": np.zeros((1, 4), np.float32)}])
    good, bad = {"x": np.ones((1, 4), np.float32)}, {"x": np.ones((1, 4), np.float64)}
    with pytest.raises(ExportError, match=r"'x' is float64 \(1, 4\), but the network takes float"):
        write_tflite(source, path, TfliteFlavour.INT8, [good, bad])
    assert not path.exists()


def test_a_file_without_its_weights_is_never_left(tf, saved_model, tmp_path, monkeypatch):
    """Whatever a converter may do to them."""
    weights = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    source = saved_model(lambda x: {"y": x @ weights}, x=([1, 2], "float32"))
    convert = tflite_file._convert

    def forget(network, *arguments):
        for node in network.graph.node:
            if node.op == "Const":
                node.attr["value"].tensor.tensor_content = bytes(16)
        return convert(network, *arguments)

    monkeypatch.setattr(tflite_file, "_convert", forget)
    path = tmp_path / "written.tflite"
    with pytest.raises(ExportError, match="y: the same number everywhere, unlike the source's"):
        write_tflite(source, path, TfliteFlavour.FP32)
    assert not path.exists()


def test_the_fault_of_the_converter_is_not_in_what_is_written(demo_exports, exports):
    """Of a Keras 3 model that is saved as it is, it leaves the weights out."""
    with pytest.raises(BackendError, match="holds no weights"):
        TfliteBackend(ModelFile(Format.TFLITE, demo_exports.variable_tflite))
    _, report = exports[TfliteFlavour.FP32]
    with TfliteBackend(ModelFile(Format.TFLITE, report.path)) as backend:
        assert backend.description.inputs


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"a": [0, 1]}, "has no output 'b', but a"),
        ({"a": [0, 1], "b": [2, np.nan]}, "output 'b' is not finite, the source's is"),
        ({"a": [7, 7], "b": [3, 3]}, "a, b: the same number everywhere"),
        ({"a": [0, 1], "b": [2]}, r"output 'b' has the shape \(1,\), the source's \(2,\)"),
    ],
)
def test_an_answer_of_lost_weights_is_told_from_an_inaccurate_one(found, message):
    expected = {"a": np.array([0, 1.0]), "b": np.array([2, 4.0])}
    assert compare("file", expected, {"a": np.array([0, 1.1]), "b": np.array([3, 3.0])}) == {
        "a": pytest.approx(0.1),
        "b": 0.5,
    }
    with pytest.raises(ExportError, match=message):
        compare("file", expected, {name: np.array(values) for name, values in found.items()})


# TFLite_Detection_PostProcess

ANCHORS = np.array([[0.2, 0.2, 0.2, 0.2], [0.7, 0.7, 0.4, 0.2], [0.71, 0.7, 0.4, 0.2]], np.float32)


@pytest.fixture
def ssd(tf, saved_model) -> ModelFile:
    """Three anchors: x (1, 3, 7) is four codes of a box and logits of a background, two classes."""
    return saved_model(
        lambda x: {"codes": x[..., :4] * 1.0, "scores": tf.sigmoid(x[..., 4:])},
        x=([1, 3, 7], "float32"),
    )


def test_the_operation_of_tensorflow_lite_decodes_and_suppresses(ssd, tmp_path, infer):
    report = write_tflite(
        ssd,
        tmp_path / "written.tflite",
        TfliteFlavour.FP32,
        postprocess=DetectionPostprocess("codes", "scores", ANCHORS, 2, max_detections=5),
    )
    assert "'codes' and 'scores' end in TFLite_Detection_PostProcess" in report.changes[-1]
    x = np.full((1, 3, 7), -9, np.float32)
    x[..., :4] = 0
    x[0, 0, 0] = 10  # by a whole height of the anchor downwards
    x[0, 0, 5] = 0.0  # the first class
    x[0, 1, 6], x[0, 2, 6] = 3.0, 2.0  # the second class, twice the same object
    found = infer("tflite", ModelFile(Format.TFLITE, report.path), {"x": x})
    scores = 1 / (1 + np.exp(-np.array([3.0, 0.0])))
    assert found["num_detections"].tolist() == [2]
    np.testing.assert_allclose(found["detection_scores"][0, :2], scores, atol=1e-6)
    assert found["detection_classes"][0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(
        found["detection_boxes"][0, :2],
        [[0.5, 0.6, 0.9, 0.8], [0.3, 0.1, 0.5, 0.3]],
        atol=1e-6,
    )


def test_outputs_that_do_not_fit_the_anchors_are_refused(ssd, tmp_path):
    path = tmp_path / "written.tflite"
    for wrong, message in (
        (DetectionPostprocess("codes", "scores", ANCHORS[:2], 2), r"2 anchors .* need \(1, 2, 4\)"),
        (DetectionPostprocess("codes", "scores", ANCHORS, 4), r"need \(1, 3, 4 or 5\)"),
        (DetectionPostprocess("boxes", "scores", ANCHORS, 2), r"output 'boxes' is not there"),
    ):
        with pytest.raises(ExportError, match=message):
            write_tflite(ssd, path, TfliteFlavour.FP32, postprocess=wrong)
