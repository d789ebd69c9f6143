from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends import BackendError, BackendOptions, open_backend
from jetson_detect.core.backends.tflite import TfliteBackend
from jetson_detect.core.model import Format, ModelFile, Precision, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
SCENE = Pixels.from_array(SceneSequence(seed=11, width=640, height=480).frame(40).image)
SHAPES = {"heatmap": (1, 40, 40, 6), "offset": (1, 40, 40, 2), "size": (1, 40, 40, 2)}


def infer(precision: Precision) -> dict[str, np.ndarray]:
    with open_backend(MODEL, "tflite", precision=precision) as backend:
        (info,) = backend.description.inputs
        tensor, _ = Preprocessor(MODEL.input, info)(SCENE)
        return {name: output.copy() for name, output in backend.run({"image": tensor}).items()}


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_the_file_is_described_by_the_names_of_its_signature(precision):
    with open_backend(MODEL, "tflite", precision=precision) as backend:
        description = backend.description
    assert [info.name for info in description.inputs] == ["image"]
    assert description.inputs[0].shape == (1, 160, 160, 3)
    assert {info.name: info.shape for info in description.outputs} == SHAPES
    assert {info.dtype for info in description.outputs} == {np.dtype(np.float32)}
    assert description.file.precision is precision
    assert "ai-edge-litert" in description.runtime or "tf" in description.runtime


def test_outputs_equal_those_of_onnx_runtime():
    onnxruntime = pytest.importorskip("onnxruntime")
    (file,) = MODEL.files_for([Format.ONNX])
    session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    with open_backend(MODEL, "tflite", precision=Precision.FP32) as backend:
        tensor, _ = Preprocessor(MODEL.input, backend.description.inputs[0])(SCENE)
    names = list(SHAPES)
    expected = dict(zip(names, session.run(names, {"image": tensor})))
    for name, output in infer(Precision.FP32).items():
        np.testing.assert_allclose(output, expected[name], atol=2e-3)


def test_quantised_outputs_come_back_as_real_numbers_close_to_the_float_ones():
    quantised, real = infer(Precision.INT8), infer(Precision.FP32)
    certain = real["heatmap"].max(axis=3) > 0.5
    assert certain.any()
    assert np.abs(quantised["heatmap"] - real["heatmap"])[certain].mean() < 0.05
    assert np.abs(quantised["size"] - real["size"])[certain].mean() < 0.1
    assert np.abs(quantised["offset"] - real["offset"])[certain].mean() < 0.1


def test_the_number_of_threads_is_taken_and_told():
    with open_backend(MODEL, "tflite", BackendOptions(threads=1)) as backend:
        assert backend.description.details["threads"] == "1"


def test_a_closed_backend_refuses_to_run_and_may_be_closed_again():
    backend = open_backend(MODEL, "tflite")
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="was closed"):
        backend.run({})


def test_an_input_that_is_not_given_is_named():
    with (
        open_backend(MODEL, "tflite") as backend,
        pytest.raises(BackendError, match="input 'image' was not given"),
    ):
        backend.run({"picture": np.zeros(1)})


def test_a_tensor_of_the_wrong_shape_is_refused_and_the_next_one_runs():
    with open_backend(MODEL, "tflite") as backend:
        with pytest.raises(BackendError, match="inference failed"):
            backend.run({"image": np.zeros((1, 8, 8, 3), np.float32)})
        assert set(backend.run({"image": np.zeros((1, 160, 160, 3), np.float32)})) == set(SHAPES)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(BackendError, match=r"gone.tflite: no such file"):
        TfliteBackend(ModelFile(Format.TFLITE, tmp_path / "gone.tflite"))


@pytest.mark.parametrize("content", [b"", b"not a flatbuffer at all", bytes(4096)])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=r"broken.tflite: .*convert the model again"):
        TfliteBackend(ModelFile(Format.TFLITE, path))


def test_a_truncated_model_is_named(tmp_path: Path):
    path = tmp_path / "half.tflite"
    whole = MODEL.files_for([Format.TFLITE])[0].path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackendError, match=r"half.tflite"):
        TfliteBackend(ModelFile(Format.TFLITE, path))


def test_a_signature_that_does_not_exist_is_refused_with_those_that_do():
    path = MODEL.files_for([Format.TFLITE])[0].path
    with pytest.raises(BackendError, match="no signature 'predict'; it has serving_default"):
        TfliteBackend(ModelFile(Format.TFLITE, path, signature="predict"))


def test_an_unknown_backend_is_refused_with_the_known_ones():
    with pytest.raises(BackendError, match="'tensorblt' is not known: use one of tflite"):
        open_backend(MODEL, "tensorblt")


def test_a_precision_that_the_model_lacks_is_refused_with_what_it_has():
    with pytest.raises(BackendError, match=r"precision fp16; the model has tflite fp32, tflite i"):
        open_backend(MODEL, "tflite", precision=Precision.FP16)
