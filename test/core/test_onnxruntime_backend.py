from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends import (
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    OnnxruntimeOptions,
    open_backend,
)
from jetson_detect.core.backends.onnxruntime import OnnxruntimeBackend
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.share import find_model

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
onnx = pytest.importorskip("onnx", reason="onnx, which makes the graphs, is not installed")
helper = onnx.helper

MODEL = load_model(find_model("demo"))
DEMO = MODEL.files_for([Format.ONNX])[0].path
DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool"]


def graph(path: Path, nodes, inputs, outputs, constants=(), opset=17, ir=8, **saving) -> ModelFile:
    """Write a graph; inputs and outputs are (name, dtype, shape)."""

    def described(tensors):
        return [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
            )
            for name, dtype, shape in tensors
        ]

    body = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "graph",
        described(inputs),
        described(outputs),
        [onnx.numpy_helper.from_array(values, name) for name, values in constants],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.save(model, str(path), **saving)
    return ModelFile(Format.ONNX, path)


def identity(path: Path, dtype: str = "float32", shape=(1, 2, 3), **options) -> ModelFile:
    tensor = (dtype, list(shape))
    return graph(path, [("Identity", ["x"], ["y"])], [("x", *tensor)], [("y", *tensor)], **options)


def with_providers(*providers: str) -> BackendOptions:
    return BackendOptions(onnxruntime=OnnxruntimeOptions(providers=providers))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_goes_through_in_its_own_type(tmp_path: Path, dtype):
    values = np.array([[[0, 1, 7], [100, 0, 1]]]).astype(dtype)
    with OnnxruntimeBackend(identity(tmp_path / "m.onnx", dtype)) as backend:
        (given,), (returned,) = backend.description.inputs, backend.description.outputs
        assert (given.name, given.shape, given.dtype) == ("x", (1, 2, 3), np.dtype(dtype))
        assert (returned.name, returned.shape, returned.dtype) == ("y", (1, 2, 3), np.dtype(dtype))
        result = backend.run({"x": values})["y"]
        assert result.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(result, values)


def test_dimensions_with_a_name_or_without_are_not_fixed_and_take_what_is_given(tmp_path: Path):
    file = identity(tmp_path / "m.onnx", shape=(1, "height", None))
    with OnnxruntimeBackend(file) as backend:
        assert backend.description.inputs[0].shape == (1, None, None)
        for shape in ((1, 2, 3), (1, 5, 4), (1, 0, 4)):
            values = np.random.default_rng(0).random(shape, np.float32)
            np.testing.assert_array_equal(backend.run({"x": values})["y"], values)


def test_outputs_whose_shape_depends_on_the_data_come_beside_those_of_fixed_shape(tmp_path: Path):
    file = graph(
        tmp_path / "m.onnx",
        [("Neg", ["x"], ["negative"]), ("NonZero", ["x"], ["where"]), ("Abs", ["x"], ["size"])],
        [("x", "float32", [4])],
        [("where", "int64", [1, "n"]), ("negative", "float32", [4]), ("size", "float32", [4])],
    )
    with OnnxruntimeBackend(file) as backend:
        for values in ([0, 3, 0, -2], [1, 1, 1, 1], [0, 0, 0, 0]):
            array = np.array(values, np.float32)
            outputs = backend.run({"x": array})
            assert set(outputs) == {"where", "negative", "size"}
            np.testing.assert_array_equal(outputs["where"][0], np.flatnonzero(array))
            np.testing.assert_array_equal(outputs["negative"], -array)
            np.testing.assert_array_equal(outputs["size"], np.abs(array))


def test_a_single_number_is_an_output_too(tmp_path: Path):
    file = graph(
        tmp_path / "m.onnx",
        [("ReduceSum", ["x"], ["total"], {"keepdims": 0})],
        [("x", "float32", [4])],
        [("total", "float32", [])],
    )
    with OnnxruntimeBackend(file) as backend:
        for values in ([1, 2, 3, 4], [5, 5, 5, 5]):
            total = backend.run({"x": np.array(values, np.float32)})["total"]
            assert (total.shape, total.item()) == ((), sum(values))


def test_two_inputs_are_told_apart_by_name(tmp_path: Path):
    file = graph(
        tmp_path / "m.onnx",
        [("Sub", ["a", "b"], ["y"])],
        [("a", "float32", [2]), ("b", "float32", [2])],
        [("y", "float32", [2])],
    )
    a, b = np.array([5, 7], np.float32), np.array([1, 2], np.float32)
    with OnnxruntimeBackend(file) as backend:
        np.testing.assert_array_equal(backend.run({"b": b, "a": a})["y"], [4, 5])
        np.testing.assert_array_equal(backend.run({"b": a, "a": b})["y"], [-4, -5])


def test_an_input_that_is_written_anew_in_place_is_read_anew(tmp_path: Path):
    values = np.zeros((1, 2, 3), np.float32)
    with OnnxruntimeBackend(identity(tmp_path / "m.onnx")) as backend:
        assert backend.run({"x": values})["y"].sum() == 0
        values += 2
        assert backend.run({"x": values})["y"].sum() == 12


def test_outputs_of_fixed_shape_lie_in_the_same_memory_for_each_frame():
    image = np.zeros((1, 160, 160, 3), np.float32)
    with open_backend(MODEL, "onnxruntime") as backend:
        first = dict(backend.run({"image": image}))
        second = backend.run({"image": image})
        assert all(second[name] is first[name] for name in ("heatmap", "offset", "size"))


def test_threads_and_providers_are_told():
    with open_backend(MODEL, "onnxruntime", BackendOptions(threads=1)) as backend:
        description = backend.description
    assert description.backend == "onnxruntime"
    assert description.runtime == f"onnxruntime {onnxruntime.__version__}"
    assert description.details["threads"] == "1"
    assert description.details["providers"].endswith("CPUExecutionProvider")


def test_a_provider_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        BackendUnavailableError,
        match=r"has no QuantumExecutionProvider, but .*CPUExecutionProvider; name some of those",
    ):
        open_backend(MODEL, "onnxruntime", with_providers("QuantumExecutionProvider"))


@pytest.fixture
def cuda_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with onnxruntime-gpu where CUDA is missing: offered, and then silently left out."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has a CUDA provider, which may well start")
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_named_provider_that_is_silently_left_out_is_refused(cuda_that_does_not_start):
    with pytest.raises(
        BackendUnavailableError,
        match=r"demo.onnx: .* runs without CUDAExecutionProvider: .*libonnxruntime_provid.*\.so",
    ):
        open_backend(MODEL, "onnxruntime", with_providers("CUDAExecutionProvider"))


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_provider_that_nobody_named_may_be_missing_and_is_told(cuda_that_does_not_start):
    with open_backend(MODEL, "onnxruntime") as backend:
        description = backend.description
    assert description.device == "CPU"
    assert description.details["providers"] == "CPUExecutionProvider"
    assert description.details["refused"].startswith("CUDAExecutionProvider (")


@pytest.fixture
def cuda_that_fails(cuda_that_does_not_start, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with CUDA and no GPU: the session cannot be made at all."""
    make_session = onnxruntime.InferenceSession

    def make_or_fail(*arguments, providers, **options):
        if "CUDAExecutionProvider" in providers:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return make_session(*arguments, providers=providers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", make_or_fail)


def test_a_provider_that_fails_is_left_out_unless_it_was_named(cuda_that_fails):
    with open_backend(MODEL, "onnxruntime") as backend:
        assert backend.description.details["refused"] == (
            "CUDAExecutionProvider (CUDA failure 100: no CUDA-capable device is detected)"
        )
        assert set(backend.run({"image": np.zeros((1, 160, 160, 3), np.float32)})) == {
            "heatmap",
            "offset",
            "size",
        }
    with pytest.raises(
        BackendError, match=r"demo.onnx: .* on CUDAExecutionProvider: CUDA failure 100: .*; install"
    ):
        open_backend(MODEL, "onnxruntime", with_providers("CUDAExecutionProvider"))


def test_a_broken_file_is_not_blamed_on_the_provider(cuda_that_fails, tmp_path: Path):
    (tmp_path / "broken.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(BackendError, match=r"broken.onnx: .* cannot load it: .*; copy or export"):
        OnnxruntimeBackend(
            ModelFile(Format.ONNX, tmp_path / "broken.onnx"),
            with_providers("CUDAExecutionProvider"),
        )


@pytest.fixture
def cuda_in_host_memory(cuda_that_does_not_start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that says it runs on CUDA, whose device memory is the host's."""
    make_value = onnxruntime.OrtValue.ortvalue_from_shape_and_type

    def make_host_value(shape, element_type, device_type, device_id):
        assert (device_type, device_id) == ("cuda", 0)
        return make_value(shape, element_type, "cpu", 0)

    class Session(onnxruntime.InferenceSession):
        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", make_host_value)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_on_cuda_inputs_are_copied_to_memory_on_the_device(cuda_in_host_memory, tmp_path: Path):
    file = identity(tmp_path / "m.onnx", shape=(1, "height", 3))
    with OnnxruntimeBackend(file) as backend:
        assert backend.description.device == "GPU (CUDAExecutionProvider)"
        for values in (np.ones((1, 2, 3)), np.full((1, 2, 3), 5), np.arange(12).reshape(1, 4, 3)):
            array = values.astype(np.float32)
            np.testing.assert_array_equal(backend.run({"x": array})["y"], array)
        with pytest.raises(BackendError, match="input 'x' is int32, not float32"):
            backend.run({"x": np.zeros((1, 4, 3), np.int32)})


def test_without_the_library_the_backend_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        BackendUnavailableError, match=r"onnxruntime cannot be imported .*; pip install onnxruntime"
    ):
        open_backend(MODEL, "onnxruntime")


def test_a_closed_backend_refuses_to_run_and_may_be_closed_again():
    backend = open_backend(MODEL, "onnxruntime")
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match=r"demo.onnx: the onnxruntime backend was closed"):
        backend.run({"image": np.zeros((1, 160, 160, 3), np.float32)})


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"picture": np.zeros(1)}, "input 'image' was not given; the model takes image"),
        ({"image": np.zeros((1, 8, 8, 3), np.float32)}, "inference failed: .*invalid dimensions"),
        ({"image": np.zeros((1, 160, 160, 3))}, r"inference failed: .*tensor\(double\)"),
    ],
)
def test_a_wrong_input_is_refused_and_the_next_one_runs(inputs, said):
    with open_backend(MODEL, "onnxruntime") as backend:
        with pytest.raises(BackendError, match=rf"demo.onnx: {said}"):
            backend.run(inputs)
        outputs = backend.run({"image": np.zeros((1, 160, 160, 3), np.float32)})
        assert outputs["heatmap"].shape == (1, 40, 40, 6)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(BackendError, match=r"gone.onnx: no such file"):
        OnnxruntimeBackend(ModelFile(Format.ONNX, tmp_path / "gone.onnx"))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", DEMO.read_bytes()[:100_000]])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=r"broken.onnx: .* cannot load it: .*; copy or export"):
        OnnxruntimeBackend(ModelFile(Format.ONNX, path))


def test_weights_that_were_left_behind_are_asked_for(tmp_path: Path):
    weights = np.arange(1024, dtype=np.float32)
    file = graph(
        tmp_path / "m.onnx",
        [("Add", ["x", "w"], ["y"])],
        [("x", "float32", [1024])],
        [("y", "float32", [1024])],
        [("w", weights)],
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with OnnxruntimeBackend(file) as backend:
        np.testing.assert_array_equal(backend.run({"x": weights})["y"], 2 * weights)
    (tmp_path / "alone").mkdir()
    alone = Path(shutil.copy(file.path, tmp_path / "alone"))
    with pytest.raises(BackendError, match=r"weights.bin.*; copy the file with the weights beside"):
        OnnxruntimeBackend(ModelFile(Format.ONNX, alone))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"opset": 99}, "[Oo]pset 99 .*; export it for an older opset or install a newer"),
        ({"ir": 99}, "IR version: 99.*; export it with an older onnx or install a newer"),
    ],
)
def test_a_file_from_the_future_says_what_to_do(tmp_path: Path, options, said):
    file = identity(tmp_path / "m.onnx", **options)
    with pytest.raises(BackendError, match=said):
        OnnxruntimeBackend(file)


def test_a_tensor_that_numpy_has_no_type_for_is_named(tmp_path: Path):
    tensors = [
        helper.make_tensor_value_info(name, onnx.TensorProto.BFLOAT16, [1]) for name in ("x", "y")
    ]
    body = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "graph", tensors[:1], tensors[1:]
    )
    path = tmp_path / "m.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(body, opset_imports=opset, ir_version=8), str(path))
    with pytest.raises(BackendError, match=r"m.onnx: 'x' is a tensor\(bfloat16\), of which NumPy"):
        OnnxruntimeBackend(ModelFile(Format.ONNX, path))
