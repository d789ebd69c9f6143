from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pytest

from jetson_detect.core.backends import TensorInfo, open_file
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.evaluation import Evaluator
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.core.onnx_graphs import (
    Calibration,
    Int8Options,
    OnnxGraphError,
    quantize_int8,
    tidy,
)
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

SHAPE = (1, 2, 8, 8)
X = [("x", "float32", SHAPE)]
PADDED = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
Q, DQ = "QuantizeLinear", "DequantizeLinear"


def weights(out: int, into: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((out, into, 3, 3)).astype("f4")


def batches(count: int = 3, limit: float = 4.0):
    random = np.random.default_rng(9)
    for _ in range(count):
        yield {"x": random.uniform(-limit, limit, SHAPE).astype("f4")}


def residual(build, opset: int = 17):
    """A block with a shortcut, and a head behind it without a convolution."""
    return build(
        [
            ("Conv", ["x", "w1", "b1"], ["c1"], PADDED),
            ("Relu", ["c1"], ["r1"]),
            ("Conv", ["r1", "w2"], ["c2"], PADDED),
            ("Add", ["r1", "c2"], ["sum"]),
            ("Sigmoid", ["sum"], ["scores"]),
            ("Mul", ["scores", "scale"], ["y"]),
        ],
        X,
        [("y", "float32", [1, 4, 8, 8])],
        {
            "w1": weights(4, 2),
            "b1": np.float32([1, -2, 3, -4]),
            "w2": weights(4, 4, 1) * 0.2,
            "scale": np.float32(10),
        },
        opset=opset,
    )


def makers(model) -> dict[str, object]:
    return {name: node for node in model.graph.node for name in node.output}


def values(model, onnx) -> dict[str, np.ndarray]:
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_inputs_and_weights_of_convolutions_are_quantised_and_nothing_else(build, onnx, run_onnx):
    model = residual(build)
    result = quantize_int8(model, batches())
    made = makers(result.model)
    constants = values(result.model, onnx)
    assert result.quantized_nodes == 2
    convolutions = [node for node in result.model.graph.node if node.op_type == "Conv"]
    assert [node.name for node in convolutions] == ["c1", "c2"]
    for node in convolutions:
        for name in node.input[:2]:
            restored = made[name]
            assert restored.op_type == DQ
            assert made[restored.input[0]].op_type == Q
    assert convolutions[0].input[2] in constants  # a bias of float32
    assert constants[convolutions[0].input[2]].dtype == np.float32
    assert sum(node.op_type == Q for node in result.model.graph.node) == 4
    assert made["y"].op_type == "Mul"
    assert made[made["y"].input[0]].op_type == "Sigmoid"
    x = next(batches(1))
    exact, rough = run_onnx(model, x)[0], run_onnx(result.model, x)[0]
    assert 0 < np.abs(exact - rough).max() < 1.5


def test_it_is_symmetric_and_weights_have_a_scale_for_each_channel(build, onnx):
    result = quantize_int8(residual(build), batches())
    constants = values(result.model, onnx)
    made = makers(result.model)
    for node in result.model.graph.node:
        if node.op_type in (Q, DQ):
            assert not constants[node.input[2]].any()
            assert constants[node.input[2]].dtype == np.int8
    first = next(node for node in result.model.graph.node if node.name == "c1")
    np.testing.assert_allclose(
        constants[made[first.input[1]].input[1]],
        np.abs(weights(4, 2)).max(axis=(1, 2, 3)) / 127.5,
        rtol=0.005,
    )
    assert made[first.input[0]].input[1] in constants
    scale = constants[made[first.input[0]].input[1]]
    assert scale.shape == ()
    assert float(scale) == pytest.approx(4.0 / 127.5, rel=0.01)


def test_a_shortcut_is_added_in_int8(build):
    result = quantize_int8(residual(build), batches())
    made = makers(result.model)
    summands = [made[name].op_type for name in made["sum"].input]
    assert summands == [DQ, "Conv"]


def test_what_scales_a_convolution_is_in_its_weights_before_they_are_quantised(build, onnx):
    model = build(
        [
            ("Conv", ["x", "w"], ["c"], PADDED),
            ("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["y"]),
        ],
        X,
        [("y", "float32", [1, 4, 8, 8])],
        {
            "w": weights(4, 2),
            "scale": np.float32([1, 10, 100, 1000]),
            "shift": np.zeros(4, "f4"),
            "mean": np.zeros(4, "f4"),
            "variance": np.ones(4, "f4"),
        },
    )
    result = quantize_int8(model, batches())
    operations = [node.op_type for node in result.model.graph.node]
    assert "BatchNormalization" not in operations
    convolution = next(node for node in result.model.graph.node if node.op_type == "Conv")
    scales = values(result.model, onnx)[makers(result.model)[convolution.input[1]].input[1]]
    # The normalisation's own epsilon, 1e-5, is in them as well.
    expected = np.abs(weights(4, 2)).max(axis=(1, 2, 3)) / 127.5 * [1, 10, 100, 1000]
    np.testing.assert_allclose(scales, expected, rtol=0.005)


def test_tensorrt_finds_no_foreign_set_of_operators(build):
    model = residual(build)
    model.opset_import.add(domain="ai.onnx.ml", version=2)
    result = quantize_int8(model, batches())
    assert [(each.domain, each.version) for each in result.model.opset_import] == [("", 17)]
    assert result.model.ir_version == 8
    assert tidy(result.model) == result.model


def test_an_old_opset_is_brought_up_to_one_that_knows_channels(build, run_onnx):
    result = quantize_int8(residual(build, opset=11), batches())
    assert result.model.opset_import[0].version == 13
    assert run_onnx(result.model, next(batches(1)))[0].shape == (1, 4, 8, 8)


def test_excluded_convolutions_stay(build):
    result = quantize_int8(residual(build), batches(), Int8Options(excluded_nodes=("c1",)))
    made = makers(result.model)
    assert result.quantized_nodes == 1
    assert list(made["c1"].input) == ["x", "w1", "b1"]
    assert made[made["c2"].input[0]].op_type == DQ
    assert "1 of 2 convolutions are INT8" in result.changes[0]
    with pytest.raises(OnnxGraphError, match=r"no convolution to exclude is called 'c9'.*c1, c2"):
        quantize_int8(residual(build), batches(), Int8Options(excluded_nodes=("c9",)))
    with pytest.raises(OnnxGraphError, match="no convolution with constant weights"):
        quantize_int8(residual(build), batches(), Int8Options(excluded_nodes=("c1", "c2")))


def pyramid(build, activation=("Relu", ["sum"], ["r"])):
    """A coarse map, upsampled, and a lateral one: their sum goes into a further convolution."""
    return build(
        [
            ("Conv", ["x", "down"], ["coarse"], {**PADDED, "strides": [2, 2]}),
            ("Resize", ["coarse", "", "scales"], ["fine"], {"mode": "nearest"}),
            ("Conv", ["x", "lateral"], ["side"], PADDED),
            ("Add", ["fine", "side"], ["sum"]),
            activation,
            ("Conv", ["r", "last"], ["y"], PADDED),
        ],
        X,
        [("y", "float32", [1, 4, 8, 8])],
        {
            "down": weights(4, 2),
            "scales": np.float32([1, 1, 2, 2]),
            "lateral": weights(4, 2, 1),
            "last": weights(4, 4, 2),
        },
    )


def test_what_is_added_to_a_convolution_is_quantised_where_the_sum_is(build, run_onnx):
    model = pyramid(build)
    result = quantize_int8(model, batches())
    makers = {output: node for node in result.model.graph.node for output in node.output}
    (total,) = (node for node in result.model.graph.node if node.op_type == "Add")
    assert [makers[name].op_type for name in total.input] == [DQ, "Conv"]
    chain = makers[makers[total.input[0]].input[0]]
    assert (chain.op_type, makers[chain.input[0]].op_type) == (Q, "Resize")
    feed = next(batches(1))
    (exact,), (rough,) = run_onnx(model, feed), run_onnx(result.model, feed)
    assert np.abs(exact - rough).max() < 0.05 * np.abs(exact).max()


def test_of_two_convolutions_that_are_added_the_earlier_one_is_quantised(build):
    both = build(
        [
            ("Conv", ["x", "a"], ["first"], PADDED),
            ("Conv", ["x", "b"], ["second"], PADDED),
            ("Add", ["second", "first"], ["sum"]),
            ("Relu", ["sum"], ["r"]),
            ("Conv", ["r", "c"], ["y"], PADDED),
        ],
        X,
        [("y", "float32", [1, 4, 8, 8])],
        {"a": weights(4, 2), "b": weights(4, 2, 1), "c": weights(4, 4, 2)},
    )
    graph = quantize_int8(both, batches()).model.graph
    makers = {output: node for node in graph.node for output in node.output}
    (total,) = (node for node in graph.node if node.op_type == "Add")
    assert [makers[name].op_type for name in total.input] == ["Conv", DQ]


def test_a_sum_that_nothing_quantises_stays_real(build):
    graph = quantize_int8(pyramid(build, ("Sigmoid", ["sum"], ["r"])), batches()).model.graph
    makers = {output: node for node in graph.node for output in node.output}
    (total,) = (node for node in graph.node if node.op_type == "Add")
    assert [makers[name].op_type for name in total.input] == ["Resize", "Conv"]


def test_a_convolution_to_a_single_channel_stays_as_tensorrt_refuses_its_kernel(build):
    expectation = build(
        [
            ("Conv", ["x", "w"], ["c"], PADDED),
            ("Conv", ["c", "one"], ["y"], {"kernel_shape": [1, 1]}),
        ],
        X,
        [("y", "float32", [1, 1, 8, 8])],
        {"w": weights(4, 2), "one": np.ones((1, 4, 1, 1), np.float32)},
    )
    result = quantize_int8(expectation, batches())
    assert result.quantized_nodes == 1
    last = result.model.graph.node[-1]
    assert last.op_type == "Conv"
    makers = {output: node.op_type for node in result.model.graph.node for output in node.output}
    assert [makers.get(name) for name in last.input] == ["Conv", None]
    assert "They make one channel each, and stay: " in result.changes[1]


@pytest.mark.parametrize("calibration", list(Calibration))
@pytest.mark.parametrize("count", [8, 9])
def test_every_calibration_sees_all_batches(build, onnx, calibration, count):
    # One value stands out in the last batch only.
    def with_outlier():
        for index, batch in enumerate(batches(count)):
            if index == count - 1:
                batch["x"][0, 0, 0, 0] = 40.0
            yield batch

    result = quantize_int8(residual(build), with_outlier(), Int8Options(calibration, 90.0))
    assert f"calibrated by {calibration.value} on {count} batches" in result.changes[0]
    made = makers(result.model)
    scale = values(result.model, onnx)[made[made["c1"].input[0]].input[1]]
    largest = float(scale) * 127.5
    if calibration is Calibration.MINMAX:
        assert largest == pytest.approx(40.0, rel=0.01)
    else:
        assert 2.0 < largest < 20.0


def test_no_more_batches_are_looked_at_than_asked_for(build):
    asked = []

    def counted():
        for batch in batches(50):
            asked.append(1)
            yield batch

    result = quantize_int8(residual(build), counted(), Int8Options(max_batches=5))
    assert len(asked) == 5
    assert "on 5 batches" in result.changes[0]


def test_one_array_may_hold_every_batch(build, onnx):
    def in_place():
        tensor = np.empty(SHAPE, np.float32)
        for batch in batches(4):
            tensor[:] = batch["x"]
            yield {"x": tensor}

    first, second = (
        quantize_int8(residual(build), given()) for given in (in_place, lambda: batches(4))
    )
    assert first.model == second.model


def test_without_pictures_it_is_refused(build):
    with pytest.raises(OnnxGraphError, match="no calibration batch; give a folder or bag"):
        quantize_int8(residual(build), [])


def test_a_batch_of_the_wrong_name_is_told(build):
    wrong = [{"picture": np.zeros(SHAPE, "f4")}]
    with pytest.raises(OnnxGraphError, match="check the calibration pictures"):
        quantize_int8(residual(build), wrong)


def test_a_plugin_at_the_end_stays(build):
    nodes = [
        ("Conv", ["x", "w"], ["c"], PADDED),
        ("EfficientNMS_TRT", ["c", "c"], ["n", "b"], {"plugin_version": "1"}),
    ]
    outputs = [("n", "int32", [1, 1]), ("b", "float32", [1, 5, 4])]
    model = build(nodes, X, outputs, {"w": weights(4, 2)})
    result = quantize_int8(model, batches())
    assert result.model.graph.node[-1].op_type == "EfficientNMS_TRT"
    assert [info.name for info in result.model.graph.output] == ["n", "b"]
    assert result.quantized_nodes == 1


def test_no_file_is_left(build, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quantize_int8(residual(build), batches())
    with pytest.raises(OnnxGraphError):
        quantize_int8(residual(build), [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["yolo", "ssd"])
def test_a_network_of_real_build_stays_close(name, random_models, run_onnx):
    model = random_models[name]
    info = model.graph.input[0]
    shape = [size.dim_value for size in info.type.tensor_type.shape.dim]
    random = np.random.default_rng(1)
    feeds = [{info.name: random.random(shape, np.float32)} for _ in range(2)]
    result = quantize_int8(model, feeds)
    # But for yolo's last one, which takes expectations of distances.
    convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
    assert result.quantized_nodes == convolutions - (name == "yolo")
    for exact, rough in zip(run_onnx(model, feeds[0]), run_onnx(result.model, feeds[0])):
        correlation = np.corrcoef(exact.ravel(), rough.ravel())[0, 1]
        assert correlation > 0.98


def test_the_demo_model_loses_at_most_a_fiftieth(demo_model, onnx, tmp_path):
    model = load_model(find_model("demo"))
    tensor = TensorInfo("image", (1, 160, 160, 3), np.dtype(np.float32))
    preprocess = Preprocessor(model.input, tensor)
    seen = SceneSequence(101, 640, 480)
    calibration = (
        {"image": preprocess(Pixels.from_array(seen.frame(index).image))[0]} for index in range(40)
    )
    path = tmp_path / "int8.onnx"
    onnx.save(quantize_int8(demo_model, calibration).model, str(path))
    selection = replace(Selection.from_thresholds(model.thresholds), score_threshold=0.05)
    scenes = SceneSequence(7, 640, 480)
    frames = [scenes.frame(index) for index in range(60)]
    precision = []
    for file in (find_model("demo") / "demo.onnx", path):
        evaluator = Evaluator(model.labels)
        with Detector(model, open_file("onnxruntime", ModelFile(Format.ONNX, file))) as detector:
            for frame in frames:
                truth = Detections.from_best(
                    frame.boxes, np.ones(len(frame.boxes), np.float32), frame.class_ids
                )
                evaluator.add(detector.detect(Pixels.from_array(frame.image), selection), truth)
        precision.append(evaluator.result().map50)
    exact, rough = precision
    assert rough > exact - 0.02
    assert exact > 0.95
