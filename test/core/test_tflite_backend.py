from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends import (
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    TfliteOptions,
    open_backend,
)
from jetson_detect.core.backends.tflite import TfliteBackend
from jetson_detect.core.model import (
    ColorOrder,
    Format,
    InputSpec,
    Layout,
    ModelFile,
    Precision,
    load_model,
)
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
SCENE = Pixels.from_array(SceneSequence(seed=11, width=640, height=480).frame(40).image)
WITHOUT_XNNPACK = BackendOptions(tflite=TfliteOptions(xnnpack=False))
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


def interpreter_of(path: Path) -> Any:
    """Whatever runtime is installed, without our code around it."""
    for name in ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python"):
        try:
            return import_module(f"{name}.interpreter").Interpreter(str(path))
        except ImportError:
            continue
    raise AssertionError("no TensorFlow Lite runtime is installed")


def test_quantised_outputs_are_the_stored_ones_times_scale_from_zero_point():
    (file,) = MODEL.files_for([Format.TFLITE], Precision.INT8)
    image = np.random.default_rng(3).integers(-128, 128, (1, 160, 160, 3), np.int8)
    interpreter = interpreter_of(file.path)
    stored = interpreter.get_signature_runner("serving_default")(image=image)
    details = interpreter.get_signature_runner("serving_default").get_output_details()
    with TfliteBackend(file) as backend:
        outputs = backend.run({"image": image})
        for name, values in stored.items():
            assert values.dtype == np.int8
            scale, zero_point = details[name]["quantization"]
            real = (values.astype(np.float64) - zero_point) * scale
            np.testing.assert_allclose(outputs[name], real, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_outputs_lie_in_the_same_memory_for_each_frame(precision):
    with open_backend(MODEL, "tflite", precision=precision) as backend:
        image = np.zeros((1, 160, 160, 3), backend.description.inputs[0].dtype)
        first = dict(backend.run({"image": image}))
        second = backend.run({"image": image})
        assert all(second[name] is first[name] for name in SHAPES)


def converted(tf: Any, path: Path, module: Any, signatures: dict[str, Any], **options) -> ModelFile:
    """Convert functions to a file with a signature each; one function without a name has none."""
    functions = [function.get_concrete_function() for function in signatures.values()]
    if list(signatures) == [""]:
        converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module)
    else:
        folder = str(path.with_suffix(""))
        tf.saved_model.save(module, folder, signatures=dict(zip(signatures, functions)))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, list(signatures))
    for name, value in options.items():
        setattr(converter, name, value)
    path.write_bytes(converter.convert())
    return ModelFile(Format.TFLITE, path)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_pictures_are_quantised_as_the_file_says_and_come_back_as_real_numbers(
    tf, tmp_path: Path, dtype
):
    @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 3], tf.float32, name="image")])
    def halve(image):
        return {"half": image * 0.5 - 0.25}

    rng = np.random.default_rng(0)
    file = converted(
        tf,
        tmp_path / "m.tflite",
        tf.Module(),
        {"serving_default": halve},
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: (
            {"image": rng.random((1, 4, 4, 3), np.float32)} for _ in range(50)
        ),
        inference_input_type=tf.as_dtype(dtype),
        inference_output_type=tf.as_dtype(dtype),
    )
    spec = InputSpec(4, 4, Layout.NHWC, ColorOrder.RGB, scale=(1 / 255,) * 3)
    picture = rng.integers(0, 256, (4, 4, 3), np.uint8)
    with TfliteBackend(file) as backend:
        (given,), (returned,) = backend.description.inputs, backend.description.outputs
        assert given.dtype == np.dtype(dtype)
        assert given.quantization.scale == pytest.approx(1 / 255, rel=0.02)
        assert (returned.name, returned.dtype, returned.quantization) == (
            "half",
            np.dtype(np.float32),
            None,
        )
        tensor, _ = Preprocessor(spec, given)(Pixels.from_array(picture, "rgb8"))
        result = backend.run({"image": tensor})["half"]
    np.testing.assert_allclose(result[0], picture / 255 * 0.5 - 0.25, atol=1.5 * 0.5 / 255)


def test_each_of_two_signatures_runs_its_own_graph(tf, tmp_path: Path):
    spec = [tf.TensorSpec([2], tf.float32, name="x")]
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": x * 2}, input_signature=spec)
    module.square = tf.function(lambda x: {"y": x * x, "x_again": x + 0}, input_signature=spec)
    file = converted(
        tf, tmp_path / "m.tflite", module, {"double": module.double, "square": module.square}
    )
    values = np.array([3, 5], np.float32)
    expected = {"double": {"y": [6, 10]}, "square": {"y": [9, 25], "x_again": [3, 5]}}
    for signature, wanted in expected.items():
        with TfliteBackend(replace(file, signature=signature)) as backend:
            assert {info.name for info in backend.description.outputs} == set(wanted)
            for _ in range(2):
                outputs = backend.run({"x": values})
                assert {name: list(array) for name, array in outputs.items()} == wanted


def test_a_file_without_signatures_has_the_names_of_its_tensors(tf, tmp_path: Path):
    spec = [tf.TensorSpec([2], tf.float32, name="x")]
    function = tf.function(lambda x: tf.identity(x * 2, name="y"), input_signature=spec)
    file = converted(tf, tmp_path / "m.tflite", tf.Module(), {"": function})
    # As files were before there were signatures.
    edited = flatbuffer(file.path)
    edited.signatureDefs = None
    write_flatbuffer(file.path, edited)
    with TfliteBackend(file) as backend:
        (given,), (returned,) = backend.description.inputs, backend.description.outputs
        result = backend.run({given.name: np.array([3, 4], np.float32)})
        assert list(result[returned.name]) == [6, 8]
        assert "x" in given.name
    with pytest.raises(BackendError, match=r"m.tflite: has no signature, so not 'predict'"):
        TfliteBackend(replace(file, signature="predict"))


def test_an_input_of_free_size_takes_what_is_given(tf, tmp_path: Path):
    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="image")])
    def brighten(image):
        return {"brighter": image + 1}

    file = converted(tf, tmp_path / "m.tflite", tf.Module(), {"serving_default": brighten})
    with TfliteBackend(file) as backend:
        assert backend.description.inputs[0].shape == (1, None, None, 3)
        assert backend.description.outputs[0].shape == (1, None, None, 3)
        for size in ((2, 5), (7, 3), (7, 3)):
            image = np.random.default_rng(0).random((1, *size, 3), np.float32)
            np.testing.assert_array_equal(backend.run({"image": image})["brighter"], image + 1)


def test_xnnpack_can_be_left_out_and_whether_it_runs_is_told():
    image = np.random.default_rng(1).random((1, 160, 160, 3), np.float32)
    with open_backend(MODEL, "tflite") as backend:
        assert backend.description.details["delegate"] == "XNNPACK"
        expected = dict(backend.run({"image": image}))
    with open_backend(MODEL, "tflite", WITHOUT_XNNPACK) as backend:
        assert backend.description.details["delegate"] == "none"
        for name, output in backend.run({"image": image}).items():
            np.testing.assert_allclose(output, expected[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", [BackendOptions(), WITHOUT_XNNPACK], ids=["xnnpack", "plain"])
def test_a_file_whose_weights_stayed_in_variables_is_refused(demo_exports, options):
    with pytest.raises(
        BackendError,
        match=r"^\S+variables.tflite: the file holds no weights \(VAR_HANDLE\).*from_concrete_fun",
    ):
        TfliteBackend(ModelFile(Format.TFLITE, demo_exports.variable_tflite), options)


def flatbuffer(path: Path) -> Any:
    schema = pytest.importorskip(
        "ai_edge_litert.schema_py_generated", reason="only LiteRT can take a file apart"
    )
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(path.read_bytes()), 0))


def write_flatbuffer(path: Path, model: Any) -> None:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


@pytest.mark.parametrize("options", [BackendOptions(), WITHOUT_XNNPACK], ids=["xnnpack", "plain"])
def test_a_file_without_weights_is_refused(tmp_path: Path, options):
    model = flatbuffer(MODEL.files_for([Format.TFLITE], Precision.FP32)[0].path)
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            buffer.data = None
    path = tmp_path / "hollow.tflite"
    write_flatbuffer(path, model)
    with pytest.raises(BackendError, match=r"hollow.tflite: .*(lacks weights|lacks data).*convert"):
        TfliteBackend(ModelFile(Format.TFLITE, path), options)


def test_without_a_runtime_the_backend_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    for name in ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python"):
        monkeypatch.setitem(sys.modules, f"{name}.interpreter", None)
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        BackendUnavailableError,
        match=r"no TensorFlow Lite runtime: ai-edge-litert \(.*tflite-runtime \(.*tensorflow \(",
    ):
        open_backend(MODEL, "tflite")


def test_a_runtime_built_for_another_numpy_is_told_as_such(monkeypatch: pytest.MonkeyPatch):
    def fails(*arguments: object, **options: object) -> None:
        raise SystemError("CreateWrapperFromFile returned a result with an exception set")

    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    monkeypatch.setattr(interpreter, "Interpreter", fails)
    said = rf"does not work with NumPy {np.__version__} \(CreateWrapper.*\); install a release"
    with pytest.raises(BackendUnavailableError, match=said):
        open_backend(MODEL, "tflite")


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
