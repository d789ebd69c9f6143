from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.exports import (
    ExportError,
    ExportReport,
    OnnxExportOptions,
    onnx_file,
    write_onnx,
)
from jetson_detect.core.model import Format, ModelFile
from jetson_detect.share import find_model

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None or find_spec("tf2onnx") is None,
    reason="TensorFlow or tf2onnx is not installed",
)
IMAGES = np.random.default_rng(4).random((3, 160, 160, 3), np.float32)


@pytest.fixture
def export(tmp_path: Path):
    """Write ONNX; return the report and the file."""

    def write(source: ModelFile, **options: Any) -> tuple[ExportReport, ModelFile]:
        report = write_onnx(source, tmp_path / "written.onnx", OnnxExportOptions(**options))
        onnx.checker.check_model(str(report.path), full_check=True)
        return report, ModelFile(Format.ONNX, report.path)

    return write


def dimensions(values) -> dict[str, list[int | str]]:
    return {
        value.name: [
            dimension.dim_param or dimension.dim_value
            for dimension in value.type.tensor_type.shape.dim
        ]
        for value in values
    }


@needs_tensorflow
@pytest.mark.parametrize("name", ["variable_saved_model", "keras"])
def test_the_demo_model_answers_in_onnx_as_in_tensorflow(demo, export, infer, frames, name):
    answered = demo(name)
    report, file = export(answered.source)
    assert report.details["opset"] == 17
    assert report.details["inputs"] == {"image": [1, 160, 160, 3]}
    assert report.details["size"] == file.path.stat().st_size < 1_000_000
    found = infer("onnxruntime", file, frames[0])
    assert set(found) == {"heatmap", "offset", "size"}
    for output, values in answered.outputs.items():
        np.testing.assert_allclose(found[output], values, rtol=0, atol=1e-5)


@needs_tensorflow
def test_an_open_batch_has_a_name_and_takes_any_number(tf, saved_model, export, infer):
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 3, 4)).astype(np.float32)
    source = saved_model(
        lambda image: {"cells": tf.nn.conv2d(image, kernel, 2, "SAME")},
        image=([None, None, 160, 3], "float32"),
    )
    report, file = export(source, batch=None, shapes={"image": (None, 160, 160, 3)}, opset=18)
    model = onnx.load(str(file.path))
    assert dimensions(model.graph.input) == {"image": ["batch", 160, 160, 3]}
    assert dimensions(model.graph.output) == {"cells": ["batch", 80, 80, 4]}
    assert report.details["opset"] == 18
    image = {"image": IMAGES}
    np.testing.assert_allclose(
        infer("onnxruntime", file, image)["cells"],
        infer("tensorflow", source, image)["cells"],
        rtol=0,
        atol=1e-5,
    )
    report, _ = export(source)
    assert report.details["inputs"] == {"image": [1, "image_1", 160, 3]}


@needs_tensorflow
def test_bytes_of_any_size_and_suppression_inside_go_through(suppressing, export, infer):
    """NonMaxSuppression that a graph ends in, which TensorRT may not know, is ONNX's own."""
    report, file = export(suppressing, shapes={"input_tensor": (1, 16, 12, 3)})
    model = onnx.load(str(file.path))
    assert "NonMaxSuppression" in {node.op_type for node in model.graph.node}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert report.details["outputs"] == {
        "detection_boxes": [1, 20, 4],
        "detection_scores": [1, 20],
        "num_detections": [1],
    }
    picture = np.random.default_rng(5).integers(0, 256, (1, 16, 12, 3), np.uint8)
    expected = infer("tensorflow", suppressing, {"input_tensor": picture})
    found = infer("onnxruntime", file, {"input_tensor": picture})
    assert 1 < expected["num_detections"].item() < 20, "nothing was suppressed, or all"
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


@needs_tensorflow
def test_names_that_tensorflow_cannot_give_an_argument_are_kept(tf, graph_file, export, infer):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], "scope/image_tensor")
        tf.raw_ops.TopKV2(input=x, k=2, name="top/values")

    source = graph_file(build, values="top/values:0", indices="top/values:1")
    _, file = export(source)
    x = {"scope/image_tensor": np.array([[1, 3, 2]], np.float32)}
    expected, found = infer("tensorflow", source, x), infer("onnxruntime", file, x)
    assert set(found) == {"top/values:0", "top/values:1"} == set(expected)
    assert found["top/values:1"].tolist() == [[1, 2]]


@needs_tensorflow
def test_operations_that_onnx_has_not_are_named_with_a_remedy(tf, saved_model, tmp_path):
    source = saved_model(
        lambda x: {"y": tf.math.lgamma(x) + tf.math.lgamma(x + 1.0)}, x=([2], "float32")
    )
    with pytest.raises(ExportError, match=r"model: ONNX opset 17 has nothing for 2 Lgamma; exp"):
        write_onnx(source, tmp_path / "written.onnx")
    assert not (tmp_path / "written.onnx").exists()


@needs_tensorflow
def test_an_opset_beyond_the_converter_is_refused(tf, saved_model, tmp_path):
    source = saved_model(lambda x: {"y": x + 1.0}, x=([2], "float32"))
    with pytest.raises(ExportError, match=r"opset 99: tf2onnx .* writes opsets up to \d+; choose"):
        write_onnx(source, tmp_path / "written.onnx", OnnxExportOptions(opset=99))


@needs_tensorflow
def test_more_weights_than_a_graph_holds_are_refused(tf, saved_model, tmp_path, monkeypatch):
    from jetson_detect.core.exports import frozen_network

    weights = tf.Variable(tf.ones([100, 100]))
    source = saved_model(lambda x: {"y": x @ weights}, x=([1, 100], "float32"))
    monkeypatch.setattr(frozen_network, "_LARGEST_GRAPH", 39_999)
    with pytest.raises(ExportError, match=r"of weights, but a TensorFlow graph of constants holds"):
        write_onnx(source, tmp_path / "written.onnx")
    monkeypatch.setattr(frozen_network, "_LARGEST_GRAPH", 40_000)
    assert write_onnx(source, tmp_path / "written.onnx").path.is_file()


# ONNX to ONNX


@pytest.fixture
def network(tmp_path: Path) -> ModelFile:
    """``y = x @ weights``, with x (n, 50) and weights (50, 20), and its batch also in ``z``."""
    make = onnx.helper
    weights = np.random.default_rng(1).normal(0, 1, (50, 20)).astype(np.float32)
    graph = make.make_graph(
        [
            make.make_node("MatMul", ["x", "weights"], ["y"]),
            make.make_node("Add", ["x", "z"], ["w"]),
        ],
        "network",
        [
            make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 50]),
            make.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", "k"]),
        ],
        [
            make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 20]),
            make.make_tensor_value_info("w", onnx.TensorProto.FLOAT, ["n", 50]),
        ],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 16)], ir_version=8)
    path = tmp_path / "source" / "network.onnx"
    path.parent.mkdir()
    onnx.save(
        model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return ModelFile(Format.ONNX, path)


def test_an_onnx_file_keeps_names_and_opset_and_gets_its_weights_inside(network, export, infer):
    report, file = export(network, shapes={"z": (None, 50)})
    assert report.details["opset"] == 16
    assert report.details["inputs"] == {"x": [1, 50], "z": [1, 50]}
    assert report.details["outputs"] == {"y": [1, 20], "w": [1, 50]}
    assert "input 'x' has the shape (1, 50), which was (?, 50)" in report.changes
    assert [path.name for path in file.path.parent.glob("written*")] == ["written.onnx"]
    inputs = {
        "x": np.random.default_rng(2).normal(0, 1, (1, 50)).astype(np.float32),
        "z": np.ones((1, 50), np.float32),
    }
    expected, found = (infer("onnxruntime", model, inputs) for model in (network, file))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)


def test_an_open_batch_of_an_onnx_file_stays_open_under_one_name(network, export):
    report, _ = export(network, batch=None, shapes={"z": (None, 50)})
    assert report.details["inputs"] == {"x": ["batch", 50], "z": ["batch", 50]}
    assert report.details["outputs"] == {"y": ["batch", 20], "w": ["batch", 50]}


def test_one_dimension_cannot_have_two_sizes(network, export):
    with pytest.raises(ExportError, match=r"'n' of input 'z' is 3 here and 2 elsewhere"):
        export(network, shapes={"x": (2, 50), "z": (3, 50)})


def test_weights_beyond_what_a_file_holds_are_written_beside_it(
    network, export, infer, monkeypatch
):
    monkeypatch.setattr(onnx_file, "_LARGEST_MESSAGE", 3_999)
    for _ in range(2):  # the second time over the first
        report, file = export(network, shapes={"z": (None, 50)})
        beside = file.path.with_name("written.onnx.data")
        assert "the weights were written to written.onnx.data beside it" in report.changes
        assert file.path.stat().st_size < 4_000 <= beside.stat().st_size < 8_000
    zeros = {"x": np.zeros((1, 50), np.float32), "z": np.ones((1, 50), np.float32)}
    assert infer("onnxruntime", file, zeros)["y"].tolist() == [[0] * 20]


def test_an_onnx_file_without_its_weights_is_refused(network, export):
    (network.path.parent / "weights.bin").unlink()
    with pytest.raises(ExportError, match=r"network\.onnx: is no ONNX file, or lacks its weights"):
        export(network)


def test_the_onnx_file_of_the_demo_model_is_already_as_it_would_be_written(export, infer):
    source = ModelFile(Format.ONNX, find_model("demo") / "demo.onnx")
    report, file = export(source)
    assert not report.changes
    image = {"image": IMAGES[:1]}
    expected, found = (infer("onnxruntime", model, image) for model in (source, file))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)
