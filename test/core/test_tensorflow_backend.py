from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends import (
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    TensorflowOptions,
)
from jetson_detect.core.backends.tensorflow import TensorflowBackend
from jetson_detect.core.model import ColorOrder, Format, InputSpec, Layout, ModelFile
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

# Not importorskip, which would spend seconds on the import while tests are only collected.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)

IMAGE = (1, 160, 160, 3)
Saver = Callable[..., ModelFile]


@pytest.fixture
def saved(tf, tmp_path: Path) -> Saver:
    """Write functions as a SavedModel, a signature each."""

    def save(variables: tuple[Any, ...] = (), /, **functions: Any) -> ModelFile:
        module = tf.Module()
        module.variables_of_functions = variables
        tf.saved_model.save(module, str(tmp_path / "model"), signatures=functions)
        return ModelFile(Format.SAVED_MODEL, tmp_path / "model")

    return save


@pytest.fixture
def twice(tf, saved: Saver) -> ModelFile:
    """A SavedModel that doubles ``x``, (2, 3)."""

    @tf.function(input_signature=[tf.TensorSpec([2, 3], tf.float32, name="x")])
    def double(x):
        return {"y": x * 2}

    return saved(serving_default=double)


@pytest.fixture
def frozen(tf, tmp_path: Path) -> Saver:
    """Write what a function puts into a graph as a frozen graph."""

    def freeze(build: Callable[[], object], tensors: dict[str, str] | None = None) -> ModelFile:
        with tf.Graph().as_default() as graph:
            build()
        path = tmp_path / "graph.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
        return ModelFile(Format.FROZEN_GRAPH, path, tensors=tensors or {})

    return freeze


@pytest.fixture
def placeholder(tf) -> Callable[..., Any]:
    return lambda shape, name="x", dtype=tf.float32: tf.compat.v1.placeholder(dtype, shape, name)


def shapes(infos) -> dict[str, tuple[int | None, ...]]:
    return {info.name: info.shape for info in infos}


# SavedModel


def test_a_saved_model_is_described_by_its_signature(demo_exports, tf):
    with TensorflowBackend(
        ModelFile(Format.SAVED_MODEL, demo_exports.variable_saved_model)
    ) as backend:
        description = backend.description
    assert description.backend == "tensorflow"
    assert description.runtime == f"tensorflow {tf.__version__}"
    assert shapes(description.inputs) == {"image": (None, 160, 160, 3)}
    assert shapes(description.outputs) == {
        "heatmap": (None, 40, 40, 6),
        "offset": (None, 40, 40, 2),
        "size": (None, 40, 40, 2),
    }
    assert {info.dtype for info in description.outputs} == {np.dtype(np.float32)}


def test_a_signature_is_chosen_by_name_and_the_default_without_one(tf, saved):
    spec = [tf.TensorSpec([2], tf.float32, name="x")]
    file = saved(
        serving_default=tf.function(lambda x: {"y": x + 1}, input_signature=spec),
        negate=tf.function(lambda x: {"minus": -x}, input_signature=spec),
    )
    x = np.array([3, 4], np.float32)
    with TensorflowBackend(file) as backend:
        assert list(backend.run({"x": x})["y"]) == [4, 5]
    with TensorflowBackend(replace(file, signature="negate")) as backend:
        assert list(backend.run({"x": x})["minus"]) == [-3, -4]
    with pytest.raises(
        BackendError, match=r"no signature 'predict'; it has serving_default, negate: name one of"
    ):
        TensorflowBackend(replace(file, signature="predict"))


def test_a_signature_that_is_the_only_one_is_taken(tf, saved):
    spec = [tf.TensorSpec([2], tf.float32, name="x")]
    file = saved(detect=tf.function(lambda x: {"y": x + 1}, input_signature=spec))
    with TensorflowBackend(file) as backend:
        assert shapes(backend.description.outputs) == {"y": (2,)}


def test_a_saved_model_without_signatures_is_refused(tf, tmp_path: Path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    with pytest.raises(BackendError, match=r"model: has no signature; save the model with"):
        TensorflowBackend(ModelFile(Format.SAVED_MODEL, tmp_path / "model"))


def test_a_picture_of_bytes_of_any_size_goes_from_pixels_to_output(tf, saved):
    """As the TF Object Detection API exports its networks."""

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
    def serve(input_tensor):
        return {"same": input_tensor, "count": tf.size(input_tensor, out_type=tf.int64)}

    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    spec = InputSpec(8, 6, Layout.NHWC, ColorOrder.RGB, mean=(0,) * 3, scale=(1,) * 3)
    with TensorflowBackend(saved(serving_default=serve)) as backend:
        (info,) = backend.description.inputs
        assert (info.shape, info.dtype) == ((1, None, None, 3), np.dtype(np.uint8))
        tensor, _ = Preprocessor(spec, info)(Pixels.from_array(picture, "rgb8"))
        outputs = backend.run({"input_tensor": tensor})
        assert outputs["same"].dtype == np.uint8
        np.testing.assert_array_equal(outputs["same"][0], picture)
        assert (outputs["count"].dtype, outputs["count"].item()) == (np.dtype(np.int64), 144)
        larger = np.ones((1, 9, 9, 3), np.uint8)
        assert backend.run({"input_tensor": larger})["count"].item() == 243


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "int64", "bool"])
def test_a_tensor_goes_through_in_its_own_type(tf, saved, dtype):
    @tf.function(input_signature=[tf.TensorSpec([3], dtype, name="x")])
    def serve(x):
        return {"y": tf.reverse(x, [0])}

    values = np.array([0, 1, 100]).astype(dtype)
    with TensorflowBackend(saved(serving_default=serve)) as backend:
        assert backend.description.inputs[0].dtype == np.dtype(dtype)
        result = backend.run({"x": values})["y"]
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result, values[::-1])


def test_bfloat16_which_numpy_lacks_comes_back_as_float32(tf, saved):
    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, name="x")])
    def serve(x):
        return {"y": tf.cast(x, tf.bfloat16)}

    with TensorflowBackend(saved(serving_default=serve)) as backend:
        result = backend.run({"x": np.array([1.5, 1 + 2**-12], np.float32)})["y"]
        assert backend.description.outputs[0].dtype == result.dtype == np.float32
        assert list(result) == [1.5, 1.0]


def test_variables_live_as_long_as_the_backend(tf, saved):
    weight = tf.Variable([2.0, 3.0])
    function = tf.function(
        lambda x: {"y": x * weight}, input_signature=[tf.TensorSpec([2], tf.float32, name="x")]
    )
    file = saved((weight,), serving_default=function)
    with TensorflowBackend(file) as backend:
        gc.collect()
        assert list(backend.run({"x": np.array([1, 10], np.float32)})["y"]) == [2, 30]


def test_a_folder_that_is_no_saved_model_is_named(tmp_path: Path):
    with pytest.raises(BackendError, match=r"is no SavedModel: .*saved_model.pb in it; correct"):
        TensorflowBackend(ModelFile(Format.SAVED_MODEL, tmp_path))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", None])
def test_a_broken_saved_model_is_named(twice, content):
    graph = twice.path / "saved_model.pb"
    whole = graph.read_bytes()
    graph.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(BackendError, match=r"model: TensorFlow \S+ cannot load it as saved_model"):
        TensorflowBackend(twice)


def test_a_saved_model_without_its_weights_is_named(demo_exports, tmp_path: Path):
    folder = Path(shutil.copytree(demo_exports.variable_saved_model, tmp_path / "model"))
    shutil.rmtree(folder / "variables")
    with pytest.raises(BackendError, match=r"model: TensorFlow .* cannot load it.*variables"):
        TensorflowBackend(ModelFile(Format.SAVED_MODEL, folder))


# TF-TRT


@pytest.fixture
def converted_by_tf_trt(tf, twice: ModelFile) -> ModelFile:
    """A SavedModel with a TF-TRT engine in it, as far as one can tell without loading it."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = twice.path / "saved_model.pb"
    content = SavedModel.FromString(graph.read_bytes())
    functions = content.meta_graphs[0].graph_def.library.function
    (node, *_) = (node for f in functions for node in f.node_def if node.op == "Mul")
    node.op = "TRTEngineOp"
    graph.write_bytes(content.SerializeToString())
    return twice


@pytest.fixture
def tensorrt_build(tf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_tensorrt_build": True})


@pytest.fixture
def plain_build(tf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_tensorrt_build": False})


def test_tf_trt_is_refused_by_a_build_without_tensorrt(plain_build, twice):
    with pytest.raises(
        BackendUnavailableError,
        match=r"model: is declared as tf_trt, but TensorFlow \S+ was built without TensorRT; insta",
    ):
        TensorflowBackend(replace(twice, format=Format.TF_TRT))


def test_engines_in_a_model_declared_as_saved_model_are_found(plain_build, converted_by_tf_trt):
    with pytest.raises(
        BackendUnavailableError, match=r"model: holds TF-TRT engines \(TRTEngineOp\), but .* witho"
    ):
        TensorflowBackend(converted_by_tf_trt)


def test_a_node_that_only_has_the_name_of_an_engine_is_none(tf, plain_build, saved):
    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, name="x")])
    def serve(x):
        return {"y": tf.identity(x + 1, name="TRTEngineOp")}

    file = saved(serving_default=serve)
    assert b"TRTEngineOp" in (file.path / "saved_model.pb").read_bytes()
    with TensorflowBackend(file) as backend:
        assert list(backend.run({"x": np.zeros(2, np.float32)})["y"]) == [1, 1]


def test_tf_trt_is_refused_without_a_gpu(tensorrt_build, tf, monkeypatch, twice):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    with pytest.raises(BackendUnavailableError, match=r"is declared as tf_trt, .* sees no GPU; "):
        TensorflowBackend(replace(twice, format=Format.TF_TRT))


def test_tf_trt_runs_where_there_is_a_build_and_a_gpu(tensorrt_build, a_gpu, twice):
    with TensorflowBackend(replace(twice, format=Format.TF_TRT)) as backend:
        assert backend.run({"x": np.ones((2, 3), np.float32)})["y"].sum() == 12


# Keras files


def keras_model(tf) -> Any:
    """Two inputs, two outputs, and no names for the latter but those of the layers."""
    keras = tf.keras
    left, right = (keras.Input((2,), name=name, batch_size=1) for name in ("left", "right"))
    total = keras.layers.Add(name="total")([left, right])
    product = keras.layers.Multiply(name="product")([left, right])
    return keras.Model([left, right], [total, product])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")  # Keras calls HDF5 a legacy at length
def test_a_keras_file_is_described_by_the_names_of_inputs_and_layers(tf, tmp_path: Path, suffix):
    path = tmp_path / f"model{suffix}"
    keras_model(tf).save(path)
    with TensorflowBackend(ModelFile(Format.KERAS, path)) as backend:
        assert shapes(backend.description.inputs) == {"left": (1, 2), "right": (1, 2)}
        assert shapes(backend.description.outputs) == {"total": (1, 2), "product": (1, 2)}
        outputs = backend.run(
            {"right": np.array([[3, 4]], np.float32), "left": np.array([[5, 6]], np.float32)}
        )
        assert outputs["total"].tolist() == [[8, 10]]
        assert outputs["product"].tolist() == [[15, 24]]


def test_a_keras_model_runs_as_in_inference_not_as_in_training(tf, tmp_path: Path):
    image = tf.keras.Input((4,), name="image")
    model = tf.keras.Model(image, tf.keras.layers.Dropout(0.99, name="kept")(image))
    model.save(tmp_path / "model.keras")
    with TensorflowBackend(ModelFile(Format.KERAS, tmp_path / "model.keras")) as backend:
        assert backend.run({"image": np.ones((1, 4), np.float32)})["kept"].tolist() == [[1] * 4]


@pytest.mark.parametrize(
    ("suffix", "said"),
    # Of HDF5 it is for us to say, as many releases of Keras would run it.
    [(".keras", "cannot be loaded: .*Lambda"), (".h5", "has a Lambda layer, that is code")],
)
@pytest.mark.filterwarnings("ignore")
def test_code_in_a_keras_file_is_refused_and_not_run(tf, tmp_path: Path, suffix, said):
    image = tf.keras.Input((4,), name="image")
    path, trace = tmp_path / f"model{suffix}", tmp_path / "trace"
    where = str(trace)
    code = tf.keras.layers.Lambda(lambda x: (open(where, "w").close(), x)[1])  # noqa: PTH123
    tf.keras.Model(image, code(image)).save(path)
    trace.unlink()  # building the model has run it
    with pytest.raises(BackendError, match=rf"model{suffix}: {said}.*or give a SavedModel"):
        TensorflowBackend(ModelFile(Format.KERAS, path))
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore")
def test_weights_without_a_model_are_refused(tf, tmp_path: Path):
    import h5py

    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    with pytest.raises(BackendError, match=r"weights.h5: holds weights only; save the whole model"):
        TensorflowBackend(ModelFile(Format.KERAS, tmp_path / "weights.h5"))


def test_a_file_of_a_newer_keras_is_told_with_the_version_that_it_needs(tf, tmp_path: Path):
    keras_model(tf).save(tmp_path / "saved.keras")
    with (
        zipfile.ZipFile(tmp_path / "saved.keras") as saved,
        zipfile.ZipFile(tmp_path / "newer.keras", "w") as newer,
    ):
        for member in saved.infolist():
            text = saved.read(member)
            if member.filename == "metadata.json":
                text = json.dumps({**json.loads(text), "keras_version": "9.1.2"}).encode()
            elif member.filename == "config.json":
                text = text.replace(b'"Add"', b'"AddOfLater"')
            newer.writestr(member, text)
    here = tf.keras.__version__
    said = rf"newer.keras: cannot be loaded: keras {here}: .*AddOfLater.*; it was saved with Keras"
    with pytest.raises(BackendError, match=rf"{said} 9.1.2: install that, save it again"):
        TensorflowBackend(ModelFile(Format.KERAS, tmp_path / "newer.keras"))


def test_the_keras_that_is_installed_is_not_asked_for(tf, tmp_path: Path):
    image = tf.keras.Input((4,), name="image")
    code = tf.keras.layers.Lambda(lambda x: x)
    tf.keras.Model(image, code(image)).save(tmp_path / "code.keras")
    with pytest.raises(BackendError, match="; save it again with this version") as caught:
        TensorflowBackend(ModelFile(Format.KERAS, tmp_path / "code.keras"))
    assert "it was saved with" not in str(caught.value)


@pytest.mark.parametrize("name", ["broken.keras", "broken.h5"])
@pytest.mark.parametrize("content", [b"", b"neither zip nor HDF5"])
def test_a_broken_keras_file_is_named(tmp_path: Path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BackendError, match=rf"{name}: .*cannot .*load.*; "):
        TensorflowBackend(ModelFile(Format.KERAS, tmp_path / name))


# Frozen graphs


def test_the_ends_of_a_frozen_graph_are_its_outputs(tf, frozen, placeholder):
    def build():
        x = placeholder([1, 4])
        middle = tf.multiply(x, 2.0, name="middle")
        tf.add(middle, 1.0, name="end")
        tf.unstack(tf.reshape(middle, [2, 2]), name="halves")
        tf.constant(7.0, name="nobody_reads_this")

    with TensorflowBackend(frozen(build)) as backend:
        assert shapes(backend.description.inputs) == {"x": (1, 4)}
        assert shapes(backend.description.outputs) == {
            "end": (1, 4),
            "halves": (2,),
            "halves:1": (2,),
        }
        outputs = backend.run({"x": np.array([[1, 2, 3, 4]], np.float32)})
        assert outputs["end"].tolist() == [[3, 5, 7, 9]]
        assert (outputs["halves"].tolist(), outputs["halves:1"].tolist()) == ([2, 4], [6, 8])


def test_a_frozen_graph_gives_whatever_model_yaml_names_with_or_without_a_number(
    tf, frozen, placeholder
):
    def build():
        x = placeholder([2], "image_tensor")
        tf.add(tf.multiply(x, 2.0, name="inside/middle"), 1.0, name="end")

    names = {"image": "image_tensor:0", "middle": "inside/middle", "boxes": "end:0"}
    with TensorflowBackend(frozen(build, names)) as backend:
        assert shapes(backend.description.inputs) == {"image_tensor:0": (2,)}
        assert shapes(backend.description.outputs) == {"inside/middle": (2,), "end:0": (2,)}
        outputs = backend.run({"image_tensor:0": np.array([1, 2], np.float32)})
        assert outputs["inside/middle"].tolist() == [2, 4]
        assert outputs["end:0"].tolist() == [3, 5]


def test_a_tensor_that_a_frozen_graph_lacks_is_named(tf, frozen, placeholder):
    file = frozen(lambda: tf.negative(placeholder([2])), {"boxes": "detection_boxes"})
    with pytest.raises(
        BackendError, match=r"graph.pb: has no tensor 'detection_boxes:0'; correct this file's ten"
    ):
        TensorflowBackend(file)


def test_side_results_of_a_layer_that_nobody_reads_are_no_outputs(tf, frozen, placeholder):
    def build():
        picture = placeholder([1, 4, 4, 2], "picture")
        normal, *_ = tf.raw_ops.FusedBatchNormV3(
            x=picture,
            scale=[1.0, 1.0],
            offset=[0.5, 0.5],
            mean=[0.0, 0.0],
            variance=[1.0, 1.0],
            epsilon=0.0,
            is_training=False,
        )
        tf.identity(normal, name="end")

    with TensorflowBackend(frozen(build)) as backend:
        assert shapes(backend.description.outputs) == {"end": (1, 4, 4, 2)}


def test_what_has_no_shape_is_taken_for_a_picture_and_found_by_trying(tf, frozen, placeholder):
    def build():
        picture = placeholder(None, "picture")
        rank_known_later = tf.reshape(picture, placeholder_with_default(tf, [-1, 3], "to"))
        tf.identity(rank_known_later, name="pixels")

    with TensorflowBackend(frozen(build)) as backend:
        assert shapes(backend.description.inputs) == {"picture": (None,) * 4}
        assert shapes(backend.description.outputs) == {"pixels": (None, None)}
        picture = np.random.default_rng(0).random((1, 5, 7, 3), np.float32)
        result = backend.run({"picture": picture})["pixels"]
        np.testing.assert_array_equal(result, picture.reshape(-1, 3))


def placeholder_with_default(tf, values: list[int], name: str) -> Any:
    """A switch that a graph still has: fed by nobody, so it is no input."""
    return tf.compat.v1.placeholder_with_default(np.array(values, np.int32), None, name)


def test_a_graph_without_placeholder_is_refused(tf, frozen):
    file = frozen(lambda: tf.add(tf.constant([1.0]), 1.0))
    with pytest.raises(BackendError, match=r"graph.pb: has no Placeholder, so nothing to feed"):
        TensorflowBackend(file)


def test_a_file_that_is_no_frozen_graph_is_named(demo_exports, tmp_path: Path):
    path = tmp_path / "broken.pb"
    whole = demo_exports.frozen_graph.read_bytes()
    for content in (b"no protobuf at all", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(BackendError, match=r"broken.pb: is no frozen graph: .*; copy it again"):
            TensorflowBackend(ModelFile(Format.FROZEN_GRAPH, path))


# Running


def test_inputs_written_in_place_into_the_backends_memory_are_read_there(twice):
    with TensorflowBackend(twice) as backend:
        memory = backend.input_arrays["x"]
        assert (memory.shape, memory.dtype) == ((2, 3), np.dtype(np.float32))
        assert memory.flags.c_contiguous
        for value in (1, 5):
            memory[:] = value
            assert backend.run({"x": memory})["y"].tolist() == [[2 * value] * 3] * 2
        other = np.arange(6, dtype=np.float32).reshape(2, 3)
        np.testing.assert_array_equal(backend.run({"x": other})["y"], other * 2)


def test_a_strided_array_is_read_as_it_looks(twice):
    with TensorflowBackend(twice) as backend:
        values = np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2]
        np.testing.assert_array_equal(backend.run({"x": values})["y"], values * 2)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"z": np.zeros((2, 3), np.float32)}, "input 'x' was not given; the model takes x"),
        ({"x": np.zeros((3, 2), np.float32)}, r"input 'x' is float32 \(3, 2\), but the model .*"),
        ({"x": np.zeros((1, 2, 3), np.float32)}, r"input 'x' is float32 \(1, 2, 3\), but .*"),
        ({"x": np.zeros((2, 3))}, r"input 'x' is float64 \(2, 3\), but the model takes float32 .*"),
    ],
)
def test_a_wrong_input_is_refused_and_the_next_one_runs(twice, inputs, said):
    with TensorflowBackend(twice) as backend:
        with pytest.raises(BackendError, match=rf"model: {said}"):
            backend.run(inputs)
        assert backend.run({"x": np.ones((2, 3), np.float32)})["y"].sum() == 12


def test_an_inference_that_fails_is_one_error_and_the_next_one_runs(tf, saved):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(x):
        return {"y": tf.reshape(x, [2, 2])}

    with TensorflowBackend(saved(serving_default=serve)) as backend:
        with pytest.raises(BackendError, match=r"model: inference failed: .*[Rr]eshape"):
            backend.run({"x": np.zeros(3, np.float32)})
        assert backend.run({"x": np.ones(4, np.float32)})["y"].shape == (2, 2)


def test_a_closed_backend_refuses_to_run_and_may_be_closed_again(twice):
    backend = TensorflowBackend(twice)
    backend.close()
    backend.close()
    assert backend.input_arrays == {}
    with pytest.raises(BackendError, match=r"model: the tensorflow backend was closed"):
        backend.run({"x": np.zeros((2, 3), np.float32)})


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(BackendError, match=r"gone: no such file; correct 'files'"):
        TensorflowBackend(ModelFile(Format.SAVED_MODEL, tmp_path / "gone"))


def test_without_the_library_the_backend_is_unavailable(twice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        BackendUnavailableError, match=r"tensorflow cannot be imported .*; pip install tensorflow"
    ):
        TensorflowBackend(twice)


# What is fixed for a process


def test_threads_are_taken_by_the_first_and_a_later_wish_is_told_in_vain(twice):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from jetson_detect.core.backends import BackendOptions\n"
        "from jetson_detect.core.backends.tensorflow import TensorflowBackend\n"
        "from jetson_detect.core.model import Format, ModelFile\n"
        "file = ModelFile(Format.SAVED_MODEL, Path(sys.argv[1]))\n"
        "for threads in (1, 2, 1, 0):\n"
        "    with TensorflowBackend(file, BackendOptions(threads=threads)) as backend:\n"
        "        print(backend.description.details['threads'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(twice.path)], capture_output=True, text=True
    )
    assert result.stdout.splitlines() == [
        "1",
        "1 (not 2: TensorFlow was already running in this process)",
        "1",
        "1",
    ], result.stderr


@pytest.fixture
def a_gpu(tf, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A GPU as far as TensorFlow's configuration goes; networks still run on the CPU."""
    gpu = SimpleNamespace(name="/physical_device:GPU:0", device_type="GPU")
    state = SimpleNamespace(limits=None, grows=None, running=False)

    def set_limits(device, limits):
        if state.running:
            raise RuntimeError("Virtual devices cannot be modified after being initialized")
        state.limits = limits

    def set_growth(device, grows):
        if state.running:
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        state.grows = grows

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
    monkeypatch.setattr(tf.config, "set_logical_device_configuration", set_limits)
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", lambda _: state.limits)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", set_growth)
    monkeypatch.setattr(tf.config.experimental, "get_memory_growth", lambda _: state.grows)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda _: {"device_name": "Orin"}
    )
    return state


def with_limit(megabytes: int) -> BackendOptions:
    return BackendOptions(tensorflow=TensorflowOptions(gpu_memory_limit_mb=megabytes))


def test_gpu_memory_grows_by_need_unless_it_is_limited(a_gpu, twice):
    with TensorflowBackend(twice) as backend:
        assert a_gpu.grows is True
        assert backend.description.device == "GPU (Orin)"
        assert backend.description.details["gpu_memory"] == "grows by need"
        assert backend.input_arrays == {}
        assert backend.run({"x": np.ones((2, 3), np.float32)})["y"].sum() == 12
    with TensorflowBackend(twice, with_limit(2048)) as backend:
        assert [limit.memory_limit for limit in a_gpu.limits] == [2048]
        assert backend.description.details["gpu_memory"] == "at most 2048 MB"


def test_a_limit_that_comes_too_late_is_told(a_gpu, twice):
    TensorflowBackend(twice, with_limit(2048)).close()
    a_gpu.running = True
    late = "TensorFlow was already running in this process"
    for megabytes, told in (
        (2048, "at most 2048 MB"),
        (512, f"at most 2048 MB (not 'at most 512 MB': {late})"),
        (0, f"at most 2048 MB (not 'grows by need': {late})"),
    ):
        with TensorflowBackend(twice, with_limit(megabytes)) as backend:
            assert backend.description.details["gpu_memory"] == told
    a_gpu.limits = None
    a_gpu.grows = False
    with TensorflowBackend(twice) as backend:
        assert (
            backend.description.details["gpu_memory"] == f"all of it (not 'grows by need': {late})"
        )
