from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jetson_detect.core.agreement import compare_detections
from jetson_detect.core.backends import open_file
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.core.onnx_graphs import OnnxGraphError, bake_float16, quantize_int8
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

X = [("x", "float32", [1, 4])]
Y = [("y", "float32", [1, 4])]
WEIGHTS = np.float32(np.diag([1, 2, 3, 4]))


def element_types(model) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def operations(model) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_weights_become_half_precision_and_inputs_and_outputs_stay(build, run_onnx, onnx):
    model = build([("MatMul", ["x", "w"], ["y"])], X, Y, {"w": WEIGHTS})
    baked = bake_float16(model).model
    assert element_types(baked) == {"w": onnx.TensorProto.FLOAT16}
    assert [info.name for info in baked.graph.input] == ["x"]
    (result,) = run_onnx(baked, {"x": np.float32([[1, 2, 3, 4]])})
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[1, 4, 9, 16]])


def test_numbers_beyond_half_precision_are_held_and_counted(build, run_onnx):
    weights = WEIGHTS.copy()
    weights[0, 0], weights[1, 1] = 1e5, -3e38
    model = build([("MatMul", ["x", "w"], ["y"])], X, Y, {"w": weights})
    result = bake_float16(model)
    assert result.changes[1:] == ("2 numbers of weight 'w' lay beyond ±65504 and are held there.",)
    (y,) = run_onnx(result.model, {"x": np.float32([[1, 1, 1, 0]])})
    np.testing.assert_array_equal(y, [[65504, -65504, 3, 0]])


def test_what_follows_the_last_product_is_not_rounded(build, run_onnx, onnx):
    # 2049 is no half precision number.
    model = build(
        [("MatMul", ["x", "w"], ["h"]), ("Add", ["h", "two"], ["g"]), ("Add", ["g", "one"], ["y"])],
        X,
        Y,
        {"w": WEIGHTS, "two": np.float32(2000), "one": np.float32(1)},
    )
    result = bake_float16(model)
    real, half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    assert element_types(result.model) == {"w": half, "two": real, "one": real}
    (y,) = run_onnx(result.model, {"x": np.float32([[48, 0, 0, 0]])})
    np.testing.assert_array_equal(y, [[2049, 2001, 2001, 2001]])
    assert "2 nodes behind the last convolution stay FP32" in result.changes[0]


def test_fp32_nodes_may_share_what_they_read(build, run_onnx):
    model = build(
        [("MatMul", ["x", "w"], ["h"]), ("Add", ["h", "one"], ["y"]), ("Mul", ["h", "one"], ["z"])],
        X,
        [*Y, ("z", "float32", [1, 4])],
        {"w": WEIGHTS, "one": np.float32(1)},
    )
    y, z = run_onnx(bake_float16(model).model, {"x": np.ones((1, 4), "f4")})
    np.testing.assert_array_equal(y, [[2, 3, 4, 5]])
    np.testing.assert_array_equal(z, [[1, 2, 3, 4]])


def test_an_input_of_bytes_stays_one(build, run_onnx, onnx):
    model = build(
        [("Cast", ["x"], ["real"], {"to": 1}), ("MatMul", ["real", "w"], ["y"])],
        [("x", "uint8", [1, 4])],
        Y,
        {"w": WEIGHTS},
    )
    baked = bake_float16(model).model
    assert baked.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    np.testing.assert_array_equal(
        run_onnx(baked, {"x": np.uint8([[255, 1, 1, 1]])})[0], [[255, 2, 3, 4]]
    )


def test_a_quantised_network_gets_scales_of_half_precision(build, onnx):
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    random = np.random.default_rng(4)
    model = build(
        [("Conv", ["x", "w"], ["c"], {"kernel_shape": [1, 1]}), ("Relu", ["c"], ["y"])],
        [("x", "float32", [1, 3, 4, 4])],
        [("y", "float32", [1, 8, 4, 4])],
        {"w": random.standard_normal((8, 3, 1, 1)).astype("f4")},
    )
    feed = {"x": random.uniform(-1, 1, (1, 3, 4, 4)).astype("f4")}
    quantized = quantize_int8(model, [feed]).model
    baked = bake_float16(quantized).model
    assert (baked.opset_import[0].version, baked.ir_version) == (19, 9)
    makers = {node.output[0]: node for node in baked.graph.node}
    convolution = next(node for node in baked.graph.node if node.op_type == "Conv")
    types = element_types(baked)
    for name in convolution.input:
        # Nothing stands between Q/DQ and the convolution, or TensorRT would not fuse them.
        assert makers[name].op_type == "DequantizeLinear"
        assert types[makers[name].input[1]] == onnx.TensorProto.FLOAT16
    options = ort.SessionOptions()
    # Its optimisations take Q/DQ of half precision for other operators, which are less exact.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    results = [
        ort.InferenceSession(each.SerializeToString(), options).run(None, feed)[0]
        for each in (quantized, baked)
    ]
    np.testing.assert_allclose(results[1], results[0], atol=0.05)


def test_a_plugin_reads_fp32_and_stays(build, onnx):
    model = build(
        [
            ("MatMul", ["x", "w"], ["h"]),
            ("EfficientNMS_TRT", ["h", "k"], ["n", "y"], {"plugin_version": "1"}),
            ("Neg", ["y"], ["z"]),
        ],
        X,
        [("n", "int32", [1, 1]), ("z", "float32", [1, 4])],
        {"w": WEIGHTS, "k": np.float32([0.5])},
    )
    baked = bake_float16(model).model
    assert operations(baked)[-2:] == ["EfficientNMS_TRT", "Neg"]
    assert element_types(baked)["k"] == onnx.TensorProto.FLOAT
    assert [info.name for info in baked.graph.output] == ["n", "z"]
    makers = {node.output[0]: node for node in baked.graph.node}
    plugin = makers["n"]
    assert makers[plugin.input[0]].op_type == "Cast"
    assert makers[plugin.input[0]].attribute[0].i == onnx.TensorProto.FLOAT


def test_fp32_inside_of_a_loop_is_refused_with_a_remedy(build, onnx):
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("CumSum", ["held", "axis"], ["sums"]),
            helper.make_node("MatMul", ["sums", "w"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("n", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", real, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("go_on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", real, [1, 4]),
        ],
    )
    model = build(
        [
            ("MatMul", ["x", "w"], ["h"]),
            ("Loop", ["times", "", "h"], ["g"], {"body": body}),
            ("MatMul", ["g", "w"], ["y"]),
        ],
        X,
        Y,
        {"w": WEIGHTS, "axis": np.int64(1), "times": np.int64(2)},
    )
    with pytest.raises(OnnxGraphError, match=r"'g' may be why: cut suppression out first"):
        bake_float16(model)


@pytest.mark.parametrize("name", ["yolo", "ssd"])
def test_a_network_of_real_build_stays_close(name, random_models, run_onnx):
    model = random_models[name]
    info = model.graph.input[0]
    shape = [size.dim_value for size in info.type.tensor_type.shape.dim]
    feed = {info.name: np.random.default_rng(1).random(shape, np.float32)}
    for exact, half in zip(run_onnx(model, feed), run_onnx(bake_float16(model).model, feed)):
        assert half.dtype == np.float32
        np.testing.assert_allclose(half, exact, rtol=0.01, atol=0.01 * np.abs(exact).max())


def test_the_demo_model_finds_the_same(demo_model, onnx, tmp_path):
    path = tmp_path / "half.onnx"
    onnx.save(bake_float16(demo_model).model, str(path))
    model = load_model(find_model("demo"))
    selection = replace(Selection.from_thresholds(model.thresholds), score_threshold=0.2)
    scenes = SceneSequence(7, 640, 480)
    pictures = [Pixels.from_array(scenes.frame(index).image) for index in range(12)]
    found = []
    for file in (find_model("demo") / "demo.onnx", path):
        with Detector(model, open_file("onnxruntime", ModelFile(Format.ONNX, file))) as detector:
            found.append([detector.detect(picture, selection) for picture in pictures])
    agreement = compare_detections(found[1], found[0], model.thresholds.score)
    assert agreement.matched > 15
    assert agreement.missed == agreement.extra == 0
    # Half a last digit of a size's logarithm is a pixel of the largest objects.
    assert agreement.box_px < 2.0
    assert agreement.score < 0.01
