"""TF-TRT, with a stand-in for the converter that writes what it would write."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.tensorflow import TensorflowBackend
from jetson_detect.core.exports import (
    ExportError,
    TfTrtOptions,
    tf_trt,
    tf_trt_library,
    write_tf_trt,
)
from jetson_detect.core.exports.tf_trt_census import take_census
from jetson_detect.core.exports.tf_trt_library import TfTrtLibrary, open_tf_trt
from jetson_detect.core.model import Format, ModelFile, Precision

pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)
DENIED = "TF_TRT_OP_DENYLIST"
FALL_BACK = "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"


class Converter:
    """Writes the SavedModel that it was given, with multiplications for engines."""

    engines = 2
    built = 2
    last: Converter

    def __init__(self, **options: Any) -> None:
        Converter.last = self
        self.options = options
        self.seen: dict[str, Any] = {}

    def convert(self, calibration_input_fn=None) -> None:
        self.seen["denied"] = os.environ.get(DENIED)
        self.seen["calibration"] = calibration_input_fn and list(calibration_input_fn())

    def build(self, input_fn) -> None:
        self.seen["build"] = list(input_fn())

    def save(self, folder: str) -> None:
        from tensorflow.core.protobuf import saved_model_pb2

        shutil.copytree(self.options["input_saved_model_dir"], folder)
        shutil.copytree(folder, f"{folder}.before")
        path = Path(folder) / "saved_model.pb"
        content = saved_model_pb2.SavedModel()
        content.ParseFromString(path.read_bytes())
        library = content.meta_graphs[0].graph_def.library
        number = 0
        for node in [node for function in library.function for node in function.node_def]:
            if node.op == "Mul" and number < self.engines:
                name = f"TRTEngineOp_000_{number:03}"
                segment = library.function.add()
                segment.signature.name = f"{name}_native_segment"
                for op in ("Mul", "Relu", "Const"):
                    segment.node_def.add(name=op, op=op)
                node.name, node.op = f"scope/{name}", "TRTEngineOp"
                node.attr["segment_func"].func.name = segment.signature.name
                node.attr["_allow_build_at_runtime"].b = True
                file = path.parent / "assets" / f"trt-serialized-engine.{name}"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(b"engine" if number < self.built else b"")
                number += 1
        path.write_bytes(content.SerializeToString())


class Backend:
    """Runs what the stand-in has converted, and remembers how."""

    seen: dict[str, Any]

    def __init__(self, file: ModelFile) -> None:
        Backend.seen = {"file": file, "fall back": os.environ.get(FALL_BACK)}
        before = file.path.with_name(f"{file.path.name}.before")
        self._backend = TensorflowBackend(ModelFile(Format.SAVED_MODEL, before))

    def __enter__(self) -> TensorflowBackend:
        return self._backend

    def __exit__(self, *_: object) -> None:
        self._backend.close()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A GPU with TF-TRT."""
    monkeypatch.setattr(tf_trt, "open_tf_trt", lambda tf, has_gpu: TfTrtLibrary(Converter, "8.6.1"))
    monkeypatch.setattr(tf_trt, "TensorflowBackend", Backend)
    monkeypatch.delenv(DENIED, raising=False)
    return monkeypatch


@pytest.fixture
def network(tf, saved_model) -> ModelFile:
    """Two multiplications, and between them what TensorRT does not know."""

    def call(x):
        inner = tf.sort(tf.nn.relu(x * [1.0, 2.0, 3.0]))
        return {"y": inner * [2.0, 1.0, 2.0], "z": tf.math.lgamma(tf.exp(x))}

    return saved_model(call, x=([None, 3], "float32"))


def batches(*sizes: int) -> list[dict[str, np.ndarray]]:
    return [{"x": np.arange(3 * size, dtype=np.float32).reshape(size, 3)} for size in sizes]


def test_a_tensorflow_without_tensorrt_is_told_with_what_to_install(tf, network, tmp_path):
    if tf.sysconfig.get_build_info().get("is_tensorrt_build"):
        pytest.skip("this TensorFlow has TensorRT")
    with pytest.raises(
        ExportError,
        match=rf"TF-TRT: TensorFlow {tf.__version__} was built without TensorRT; install a build",
    ):
        write_tf_trt(network, tmp_path / "converted", TfTrtOptions(), batches(1))
    assert not (tmp_path / "converted").exists()


def test_what_else_tf_trt_needs_is_told(tf, monkeypatch):
    with_tensorrt = SimpleNamespace(
        __version__="2.17.1",
        sysconfig=SimpleNamespace(get_build_info=lambda: {"is_tensorrt_build": True}),
    )
    native = SimpleNamespace(
        is_tensorrt_enabled=lambda: False,
        get_linked_tensorrt_version=lambda: (8, 6, 1),
        get_loaded_tensorrt_version=lambda: (8, 6, 0),
        TrtGraphConverterV2=Converter,
    )
    monkeypatch.setattr(tf_trt_library, "import_exporter", lambda module, remedy: native)
    with pytest.raises(
        ExportError, match=r"built with TensorRT 8\.6\.1, but cannot load it.*so\.8"
    ):
        open_tf_trt(with_tensorrt, has_gpu=True)
    native.is_tensorrt_enabled = lambda: True
    with pytest.raises(ExportError, match=r"TensorFlow 2\.17\.1 sees no GPU"):
        open_tf_trt(with_tensorrt, has_gpu=False)
    for loaded in ((8, 6, 0), (10, 0, 1)):
        native.get_loaded_tensorrt_version = lambda loaded=loaded: loaded
        seen = r"\.".join(map(str, loaded))
        with pytest.raises(ExportError, match=rf"with TensorRT 8\.6\.1 and loads {seen}; install"):
            open_tf_trt(with_tensorrt, has_gpu=True)
    native.get_loaded_tensorrt_version = lambda: (8, 6, 2)
    library = open_tf_trt(with_tensorrt, has_gpu=True)
    assert (library.converter, library.tensorrt) == (Converter, "8.6.2")


def test_a_conversion_is_told_in_full_and_tells_what_it_made(stand_in, network, tmp_path):
    output = tmp_path / "converted"
    report = write_tf_trt(
        network,
        output,
        TfTrtOptions(
            precision=Precision.FP16,
            workspace_mb=64,
            minimum_segment_size=2,
            maximum_cached_engines=4,
            excluded_ops=("Exp", "Lgamma"),
        ),
        batches(2, 2),
    )
    options = dict(Converter.last.options)
    del options["input_saved_model_dir"]
    assert options == {
        "input_saved_model_signature_key": "serving_default",
        "precision_mode": "FP16",
        "max_workspace_size_bytes": 64 << 20,
        "minimum_segment_size": 2,
        "maximum_cached_engines": 4,
        "use_calibration": False,
        "use_dynamic_shape": True,
        "dynamic_shape_profile_strategy": "Range",
        "allow_build_at_runtime": True,
    }
    assert Converter.last.seen["denied"] == "Exp,Lgamma"
    assert DENIED not in os.environ
    assert Converter.last.seen["calibration"] is None
    assert [set(batch) for batch in Converter.last.seen["build"]] == [{"x"}], "not one of a shape"
    assert Backend.seen["file"] == ModelFile(
        Format.TF_TRT, output, Precision.FP16, "serving_default"
    )
    assert Backend.seen["fall back"] == "False"
    assert FALL_BACK not in os.environ
    details = report.details
    assert (details["engines"], details["engines_built"], details["tensorrt"]) == (2, 2, "8.6.1")
    assert details["operations_in_engines"] == {"Mul": 2, "Relu": 2}
    assert details["operations_left"].keys() >= {"TopKV2", "Relu", "Lgamma", "Exp"}
    assert details["segments_left"] == 2
    assert details["errors"] == {"y": 0.0, "z": 0.0}
    assert "input 'x' has the shape (2, 3), which was (?, 3)" in report.changes
    assert "4 operations run in 2 TensorRT engines" in report.changes[-1]


@pytest.mark.parametrize("allowed", [False, True])
def test_engines_are_built_at_run_time_only_if_that_is_asked_for(
    stand_in, network, tmp_path, allowed
):
    output = tmp_path / "converted"
    write_tf_trt(network, output, TfTrtOptions(allow_build_at_runtime=allowed), batches(1))
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel()
    content.ParseFromString((output / "saved_model.pb").read_bytes())
    engines = [
        node
        for function in content.meta_graphs[0].graph_def.library.function
        for node in function.node_def
        if node.op == "TRTEngineOp"
    ]
    assert [node.attr["_allow_build_at_runtime"].b for node in engines] == [allowed] * 2


def test_int8_is_calibrated_on_all_batches_of_one_shape(stand_in, network, tmp_path):
    options = TfTrtOptions(precision=Precision.INT8)
    write_tf_trt(network, tmp_path / "converted", options, iter(batches(2, 2, 2)))
    assert len(Converter.last.seen["calibration"]) == 3
    assert Converter.last.options["use_calibration"] is True
    with pytest.raises(ExportError, match="2 different shapes, but int8 is calibrated with one"):
        write_tf_trt(network, tmp_path / "other", options, batches(2, 3))


def test_a_dimension_that_differs_between_batches_stays_open(stand_in, network, tmp_path):
    report = write_tf_trt(network, tmp_path / "converted", TfTrtOptions(), batches(2, 4, 2))
    assert [len(batch["x"]) for batch in Converter.last.seen["build"]] == [2, 4]
    assert not any("shape" in change for change in report.changes)
    with pytest.raises(ExportError, match=r"maximum_cached_engines 1: there are 2 shapes"):
        write_tf_trt(network, tmp_path / "other", TfTrtOptions(explicit_batch=False), batches(2, 4))


def test_a_conversion_that_converted_nothing_is_refused(stand_in, network, tmp_path):
    output = tmp_path / "converted"
    stand_in.setattr(Converter, "engines", 0)
    with pytest.raises(
        ExportError,
        match=r"model: TF-TRT made no engine of it, TensorFlow runs all: .*2 Mul.*; lower minimum",
    ):
        write_tf_trt(network, output, TfTrtOptions(), batches(1))
    assert not output.exists()


def test_engines_of_which_none_could_be_built_are_refused(stand_in, network, tmp_path):
    output = tmp_path / "converted"
    stand_in.setattr(Converter, "built", 0)
    with pytest.raises(ExportError, match=r"TensorRT built none of the 2 engines.* than 1024 MB"):
        write_tf_trt(network, output, TfTrtOptions(), batches(1))
    assert not output.exists()


def test_an_engine_that_could_not_be_built_is_told(stand_in, network, tmp_path):
    stand_in.setattr(Converter, "built", 1)
    report = write_tf_trt(network, tmp_path / "converted", TfTrtOptions(), batches(1))
    assert report.details["engines_built"] == 1
    assert report.changes[-1].endswith("; 1 engines could not be built, TensorFlow runs them")
    assert Backend.seen["fall back"] is None


def test_operations_that_were_excluded_in_vain_are_told(stand_in, network, tmp_path):
    with pytest.raises(ExportError, match=r"excluded_ops: Relu are in engines nevertheless"):
        write_tf_trt(
            network, tmp_path / "converted", TfTrtOptions(excluded_ops=("Relu",)), batches(1)
        )


def test_what_does_not_run_is_not_left(stand_in, network, tmp_path):
    class Broken(Backend):
        def __init__(self, file: ModelFile) -> None:
            raise BackendError("no kernel for TRTEngineOp")

    stand_in.setattr(tf_trt, "TensorflowBackend", Broken)
    output = tmp_path / "converted"
    with pytest.raises(ExportError, match=r"was converted, but does not run \(no kernel for TRT"):
        write_tf_trt(network, output, TfTrtOptions(), batches(1))
    assert not output.exists()


def test_what_cannot_be_meant_is_refused(stand_in, network, tmp_path):
    output = tmp_path / "converted"
    with pytest.raises(ExportError, match="precision bf16: TF-TRT has none but fp32, fp16, int8"):
        write_tf_trt(network, output, TfTrtOptions(precision=Precision.BF16), batches(1))
    with pytest.raises(ExportError, match="profile_strategy 'Best': use one of Range, Optimal"):
        write_tf_trt(network, output, TfTrtOptions(profile_strategy="Best"), batches(1))
    with pytest.raises(ExportError, match="for the shapes of real inputs; give at least one"):
        write_tf_trt(network, output, TfTrtOptions())
    with pytest.raises(ExportError, match=r"batches: there is no tensor for input 'x'"):
        write_tf_trt(network, output, TfTrtOptions(), [{}])
    output.mkdir()
    with pytest.raises(ExportError, match="is there already; name a folder that is not"):
        write_tf_trt(network, output, TfTrtOptions(), batches(1))
    assert output.is_dir()


def test_only_what_a_signature_runs_is_counted(tf, tmp_path):
    module = tf.Module()
    spec = [tf.TensorSpec([2], tf.float32, name="x")]
    tf.saved_model.save(
        module,
        str(tmp_path / "model"),
        {
            "serving_default": tf.function(lambda x: {"y": tf.exp(x)}, input_signature=spec),
            "other": tf.function(lambda x: {"y": tf.sin(x) + tf.cos(x)}, input_signature=spec),
        },
    )
    census = take_census(tmp_path / "model", "serving_default")
    assert census.operations_left == {"Exp": 1}
    assert (census.engines, census.engines_built, census.segments_left) == (0, 0, 1)
    assert take_census(tmp_path / "model", "other").segments_left == 1
