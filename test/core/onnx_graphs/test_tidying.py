from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.onnx_graphs import OnnxGraphError, tidy

X = ("x", "float32", [1, 2])
Y = ("y", "float32", [1, 2])


def operations(model) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_what_no_output_needs_goes(build):
    model = build(
        [("Relu", ["x"], ["y"]), ("Mul", ["x", "w"], ["dead"])], [X], [Y], {"w": np.ones(2, "f4")}
    )
    cleaned = tidy(model)
    assert operations(cleaned) == ["Relu"]
    assert not cleaned.graph.initializer
    assert operations(model) == ["Relu", "Mul"]


def test_constants_are_computed(build, run_onnx):
    model = build(
        [("Add", ["a", "b"], ["c"]), ("Mul", ["x", "c"], ["y"])],
        [X],
        [Y],
        {"a": np.float32([1, 2]), "b": np.float32([10, 20])},
    )
    cleaned = tidy(model)
    assert operations(cleaned) == ["Mul"]
    x = np.float32([[2, 3]])
    np.testing.assert_array_equal(run_onnx(cleaned, {"x": x})[0], [[22, 66]])


def test_a_shape_that_is_known_is_computed(build):
    model = build([("Shape", ["x"], ["s"]), ("Expand", ["one", "s"], ["y"])], [X], [Y],
                  {"one": np.ones(1, "f4")})  # fmt: skip
    assert operations(tidy(model)) == []


def test_a_constant_that_would_make_the_file_grow_is_not_computed(build):
    shape = [1, 1024, 1024]
    model = build(
        [("Tile", ["a", "n"], ["t"]), ("Add", ["x", "t"], ["y"])],
        [("x", "float32", shape)],
        [("y", "float32", shape)],
        {"a": np.ones((1, 1024, 1), "f4"), "n": np.int64([1, 1, 1024])},
    )
    assert operations(tidy(model)) == ["Tile", "Add"]


def test_quantised_weights_are_not_folded(build):
    names = {"s": np.float32(0.5), "z": np.int8(0), "w": np.float32([1, 2])}
    model = build(
        [
            ("QuantizeLinear", ["w", "s", "z"], ["q"]),
            ("DequantizeLinear", ["q", "s", "z"], ["d"]),
            ("Mul", ["x", "d"], ["y"]),
        ],
        [X],
        [Y],
        names,
    )
    assert operations(tidy(model)) == ["QuantizeLinear", "DequantizeLinear", "Mul"]


def test_nodes_are_sorted(build):
    model = build([("Relu", ["h"], ["y"]), ("Neg", ["x"], ["h"])], [X], [Y])
    assert operations(tidy(model)) == ["Neg", "Relu"]


def test_sets_of_operators_that_no_node_is_of_are_left_out(build):
    model = build([("Relu", ["x"], ["y"])], [X], [Y])
    for domain in ("ai.onnx.ml", "com.microsoft", "com.ms.internal.nhwc"):
        model.opset_import.add(domain=domain, version=1)
    assert [(each.domain, each.version) for each in tidy(model).opset_import] == [("", 17)]


@pytest.mark.parametrize(("opset", "ir", "expected"), [(17, 10, 8), (17, 7, 7), (19, 10, 9)])
def test_the_ir_version_is_one_that_old_readers_know(build, opset, ir, expected):
    model = build([("Relu", ["x"], ["y"])], [X], [Y], opset=opset, ir=ir)
    assert tidy(model).ir_version == expected


def test_weights_are_no_inputs_any_more(build, onnx):
    model = build([("Mul", ["x", "w"], ["y"])], [X, ("w", "float32", [2])], [Y],
                  {"w": np.ones(2, "f4")}, opset=9, ir=3)  # fmt: skip
    cleaned = tidy(model)
    assert [info.name for info in cleaned.graph.input] == ["x"]
    onnx.checker.check_model(cleaned)


def test_an_input_that_nothing_reads_and_the_order_of_inputs_and_outputs_stay(build):
    model = build(
        [("Relu", ["x"], ["b"]), ("Neg", ["x"], ["a"])],
        [("unused", "float32", [3]), X],
        [("b", "float32", [1, 2]), ("a", "float32", [1, 2])],
    )
    cleaned = tidy(model)
    assert [info.name for info in cleaned.graph.input] == ["unused", "x"]
    assert [info.name for info in cleaned.graph.output] == ["b", "a"]


def test_an_old_shape_that_contradicts_a_new_input_is_inferred_anew(build, onnx):
    model = build([("Relu", ["x"], ["h"]), ("Neg", ["h"], ["y"])], [("x", "float32", [1, 4])],
                  [("y", "float32", None)])  # fmt: skip
    stale = onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [1, 9])
    model.graph.value_info.append(stale)
    cleaned = tidy(model)
    shapes = {
        info.name: [size.dim_value for size in info.type.tensor_type.shape.dim]
        for info in [*cleaned.graph.value_info, *cleaned.graph.output]
    }
    assert shapes == {"h": [1, 4], "y": [1, 4]}


def test_what_the_exporter_wrote_about_the_model_stays(build):
    model = build([("Relu", ["x"], ["y"])], [X], [Y], producer="tf2onnx")
    model.metadata_props.add(key="names", value="{0: 'ball'}")
    cleaned = tidy(model)
    assert cleaned.producer_name == "tf2onnx"
    assert [(each.key, each.value) for each in cleaned.metadata_props] == [("names", "{0: 'ball'}")]


def test_nodes_without_a_name_get_one_of_their_own(build):
    model = build([("Neg", ["x"], ["h"]), ("Neg", ["h"], ["y"])], [X], [Y])
    for node in model.graph.node:
        node.name = ""
    names = [node.name for node in tidy(model).graph.node]
    assert [node.name for node in model.graph.node] == ["", ""]
    assert all(names)
    assert len(set(names)) == 2


def test_a_plugin_stays_and_the_rest_is_checked(build):
    plugin = ("EfficientNMS_TRT", ["x"], ["y"], {"plugin_version": "1"})
    cleaned = tidy(build([plugin, ("Neg", ["x"], ["dead"])], [X], [Y]))
    assert [(node.op_type, node.domain) for node in cleaned.graph.node] == [
        ("EfficientNMS_TRT", "")
    ]
    assert [entry.domain for entry in cleaned.opset_import] == [""]
    broken = build([plugin, ("Relu", ["x"], ["z"], {"axis": 3})], [X],
                   [Y, ("z", "float32", [1, 2])])  # fmt: skip
    with pytest.raises(OnnxGraphError, match=r"not valid ONNX \(.*axis"):
        tidy(broken)


def test_weights_that_were_not_loaded_are_refused(build, onnx, tmp_path):
    model = build([("Mul", ["x", "w"], ["y"])], [X], [Y], {"w": np.ones((512, 2), "f4")})
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="w.bin")
    bare = onnx.load(str(tmp_path / "m.onnx"), load_external_data=False)
    with pytest.raises(OnnxGraphError, match=r"weight 'w' lies in another file.*onnx\.load"):
        tidy(bare)
    loaded = tidy(onnx.load(str(tmp_path / "m.onnx")))
    np.testing.assert_array_equal(
        onnx.numpy_helper.to_array(loaded.graph.initializer[0]), np.ones((512, 2), "f4")
    )


_UNARY = ["Neg", "Relu", "Sigmoid", "Identity", "Abs"]


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_tidied_twice_is_tidied_once_and_computes_the_same(data, build, run_onnx):
    tensors, nodes = ["x", "w"], []
    for index in range(data.draw(st.integers(1, 8))):
        first, second = (data.draw(st.sampled_from(tensors)) for _ in range(2))
        if data.draw(st.booleans()):
            nodes.append((data.draw(st.sampled_from(_UNARY)), [first], [f"t{index}"]))
        else:
            nodes.append(("Add", [first, second], [f"t{index}"]))
        tensors.append(f"t{index}")
    nodes.append(("Add", [tensors[-1], "x"], ["y"]))
    nodes = data.draw(st.permutations(nodes))
    model = build(nodes, [X], [Y], {"w": np.float32([[0.5, -3]])})
    once = tidy(model)
    assert tidy(once).SerializeToString(deterministic=True) == once.SerializeToString(
        deterministic=True
    )
    ordered = build(sorted(nodes, key=lambda node: (node[2][0] == "y", node[2][0])), [X], [Y],
                    {"w": np.float32([[0.5, -3]])})  # fmt: skip
    feed = {"x": np.float32([[-1.5, 2]])}
    np.testing.assert_array_equal(run_onnx(once, feed)[0], run_onnx(ordered, feed)[0])


@pytest.mark.parametrize("name", ["yolo", "ssd"])
def test_a_network_of_real_build_stays_the_same(name, random_models, run_onnx):
    model = random_models[name]
    once = tidy(model)
    assert tidy(once).SerializeToString(deterministic=True) == once.SerializeToString(
        deterministic=True
    )
    info = model.graph.input[0]
    shape = [size.dim_value for size in info.type.tensor_type.shape.dim]
    feed = {info.name: np.random.default_rng(1).random(shape, np.float32)}
    for before, after in zip(run_onnx(model, feed), run_onnx(once, feed)):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
