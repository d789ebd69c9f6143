from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.exports import (
    ExportError,
    ExportReport,
    write_frozen_checkpoint,
    write_frozen_graph,
)
from jetson_detect.core.model import Format, ModelFile

# Not importorskip, which would spend seconds on the import while tests are only collected.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)

X = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)


@pytest.fixture
def frozen(tf, tmp_path: Path):
    """Freeze a file; return the report, the new file and its operations."""

    def freeze(source: ModelFile, **options: Any) -> tuple[ExportReport, ModelFile, Counter[str]]:
        report = write_frozen_graph(source, tmp_path / "frozen.pb", **options)
        return report, ModelFile(Format.FROZEN_GRAPH, report.path), operations(tf, report.path)

    return freeze


def operations(tf, path: Path) -> Counter[str]:
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return Counter(node.op for node in graph.node) + Counter(
        node.op for function in graph.library.function for node in function.node_def
    )


def test_a_saved_model_with_variables_becomes_a_graph_that_answers_the_same(
    demo, frozen, infer, frames
):
    answered = demo("variable_saved_model")
    report, file, counts = frozen(answered.source)
    assert counts["Rsqrt"] == 0, "batch normalisation was not folded"
    assert report.details["nodes"] == sum(counts.values()) < 400
    assert report.details["size"] == report.path.stat().st_size
    assert "variables became constants: 191" in report.changes
    found = infer("tensorflow", file, frames[0])
    assert set(found) == {"heatmap", "offset", "size"}
    for name, values in answered.outputs.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)
    twice = infer("tensorflow", file, {"image": np.repeat(frames[0]["image"], 2, axis=0)})
    assert twice["heatmap"].shape == (2, 40, 40, 6)


def test_shapes_that_are_fixed_leave_nothing_to_compute_of_them(tf, saved_model, frozen, infer):
    def flatten(x):
        return {"y": tf.reshape(x, [tf.shape(x)[0], tf.size(x[0])])}

    source = saved_model(flatten, x=([None, None, None, 3], "float32"))
    _, _, counts = frozen(source)
    assert counts["Shape"] > 0
    report, file, counts = frozen(source, batch=2, shapes={"x": (2, 8, 8, 3)})
    assert (counts["Shape"], counts["Reshape"], counts["StridedSlice"]) == (0, 1, 0)
    assert "input 'x' has the shape (2, 8, 8, 3), which was (?, ?, ?, 3)" in report.changes
    np.testing.assert_array_equal(infer("tensorflow", file, {"x": X})["y"], X.reshape(2, 8 * 8 * 3))


def test_checks_and_what_only_training_needs_are_removed(tf, saved_model, frozen, infer):
    def checked(x):
        x = tf.debugging.check_numerics(x, "not finite")
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x < 9), [x])]):
            return {"y": tf.stop_gradient(tf.identity(x)) * 2.0}

    report, file, counts = frozen(saved_model(checked, x=([2, 8, 8, 3], "float32")))
    assert counts == {"Placeholder": 1, "Const": 1, "Mul": 1, "Identity": 1}
    assert "checks and prints were removed: 1 Assert, 1 CheckNumerics" in report.changes
    assert "gradient stops were removed: 1 StopGradient" in report.changes
    np.testing.assert_array_equal(infer("tensorflow", file, {"x": X})["y"], X * 2)


@pytest.mark.parametrize("keep", [1.0, 0.5])
@pytest.mark.parametrize("kind", ["select", "floor"])
def test_dropout_goes_where_it_keeps_all_and_stays_where_it_drops(
    tf, graph_file, frozen, infer, kind, keep
):
    v1 = tf.compat.v1

    def build():
        x = v1.placeholder(tf.float32, [2, 8, 8, 3], "x")
        kept = v1.placeholder_with_default(keep, [], "keep")
        if kind == "select":
            dropped = v1.nn.dropout(x, keep_prob=kept)
        else:  # as TensorFlow did before 1.13
            dropped = x / kept * tf.floor(kept + tf.random.uniform(tf.shape(x)))
        tf.add(dropped, 1.0, "y")

    report, file, counts = frozen(graph_file(build))
    if keep == 1.0:
        assert counts == {"Placeholder": 1, "Const": 1, "AddV2": 1, "Identity": 1}
        assert "the random numbers of dropout were removed: 1 RandomUniform" in report.changes
        np.testing.assert_array_equal(infer("tensorflow", file, {"x": X})["y"], X + 1)
    else:
        assert counts["RandomUniform"] == 1
        values = infer("tensorflow", file, {"x": X})["y"]
        assert 0 < (values == 1).sum() < X.size


def test_a_branch_that_a_constant_chooses_replaces_the_choice(tf, graph_file, frozen, infer):
    v1 = tf.compat.v1

    def build():
        x = v1.placeholder(tf.float32, [2, 8, 8, 3], "x")
        training = v1.placeholder_with_default(False, [], "is_training")
        tf.identity(tf.cond(training, lambda: x * 0.5, lambda: x - 3.0), "y")

    _, file, counts = frozen(graph_file(build))
    assert "StatelessIf" not in counts
    assert (counts["Mul"], counts["Sub"]) == (0, 1)
    np.testing.assert_array_equal(infer("tensorflow", file, {"x": X})["y"], X - 3)


def test_control_flow_of_tensorflow_1_keeps_its_edges_of_control(tf, graph_file, frozen, infer):
    v1 = tf.compat.v1

    def build():
        x = v1.placeholder(tf.float32, [], "x")
        switch = tf.raw_ops.Switch(data=x, pred=x > 0.0)
        with tf.control_dependencies([switch.output_true]):
            five = tf.constant(5.0)  # alive only in this branch
        tf.identity(tf.raw_ops.Merge(inputs=[switch.output_false, five]).output, "y")

    _, file, _ = frozen(graph_file(build, y="y"))
    for x, y in ((2.0, 5.0), (-2.0, -2.0)):
        assert infer("tensorflow", file, {"x": np.array(x, np.float32)})["y"] == y


def test_loops_stay_and_run_beside_the_source_that_they_come_from(tf, saved_model, frozen, infer):
    def powers(x):
        _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), [0, x])
        return {"y": y}

    source = saved_model(powers, x=([None, 3], "float32"))
    x = {"x": np.array([[1, 2, 3]], np.float32)}
    expected = infer("tensorflow", source, x)["y"]
    _, file, _ = frozen(source)
    np.testing.assert_array_equal(infer("tensorflow", file, x)["y"], expected)
    np.testing.assert_array_equal(expected, [[1, 16, 81]])


def test_an_input_that_nothing_needs_stays_one(tf, saved_model, frozen, infer):
    source = saved_model(
        lambda x, unused: {"y": x + 1.0}, x=([2], "float32"), unused=([3], "int32")
    )
    _, file, _ = frozen(source)
    inputs = {"x": np.zeros(2, np.float32), "unused": np.zeros(3, np.int32)}
    np.testing.assert_array_equal(infer("tensorflow", file, inputs)["y"], [1, 1])


def test_an_output_may_feed_another_and_have_the_name_of_a_node_inside(
    tf, graph_file, frozen, infer
):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [2], "scope/x")
        tf.multiply(tf.add(x, 1.0, "a"), 2.0, "b")

    source = graph_file(build, inner="a")
    report, file, _ = frozen(source)
    outputs = infer("tensorflow", file, {"scope/x": np.array([1, 2], np.float32)})
    assert {name: list(values) for name, values in outputs.items()} == {"a": [2, 3], "b": [4, 6]}
    assert "tensors" not in report.details


def test_a_tensor_that_a_node_cannot_be_called_after_is_told(tf, graph_file, frozen, infer):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [2, 2], "x")
        tf.raw_ops.TopKV2(input=x, k=1, name="top")

    source = graph_file(build, values="top:0", indices="top:1")
    report, file, _ = frozen(source)
    assert report.details["tensors"] == {"top:0": "top", "top:1": "top_1"}
    assert "'top:1' is called 'top_1'" in report.changes
    outputs = infer("tensorflow", file, {"x": np.array([[1, 2], [4, 3]], np.float32)})
    assert outputs["top"].tolist() == [[2], [4]]
    assert outputs["top_1"].tolist() == [[1], [0]]


def test_a_name_of_an_input_and_of_an_output_is_refused(tf, saved_model, frozen):
    source = saved_model(lambda x: {"x": x * 2}, x=([2], "float32"))
    with pytest.raises(ExportError, match=r"'x' is an input and an output; give the output"):
        frozen(source)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (Format.SAVED_MODEL, "missing", r"missing: no such file; correct 'files'"),
        (Format.FROZEN_GRAPH, "text.pb", r"text.pb: is no frozen graph"),
        (Format.KERAS, "text.pb", r"text.pb: cannot be loaded"),
        (Format.TFLITE, "text.pb", r"tflite cannot be converted; give one of saved_model, keras"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_by_name(tf, tmp_path, kind, name, message):
    (tmp_path / "text.pb").write_text("not a graph")
    with pytest.raises(ExportError, match=message):
        write_frozen_graph(ModelFile(kind, tmp_path / name), tmp_path / "frozen.pb")


# TensorFlow 1


@pytest.fixture(params=[False, True], ids=["reference", "resource"])
def trained(tf, tmp_path: Path, request) -> tuple[Path, np.ndarray]:
    """A folder with a checkpoint and a SavedModel, with training inside; what it makes of X."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 8, 8, 3], "image")
        with v1.variable_scope("net", use_resource=request.param):
            weights = v1.get_variable("weights", [3, 3, 3, 4])
            cells = tf.nn.conv2d(x * 1.0, weights, 1, "SAME", name="cells")
            scores = tf.sigmoid(tf.reduce_mean(cells, [1, 2]), "scores")
        loss = tf.reduce_mean(scores, name="loss")
        v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model"))
        v1.saved_model.simple_save(
            session, str(tmp_path / "saved"), {"picture": x}, {"found": scores}
        )
        return tmp_path, session.run(scores, {x: X})


def test_a_checkpoint_is_frozen_up_to_the_outputs_that_are_named(tf, trained, infer):
    folder, expected = trained
    report = write_frozen_checkpoint(folder / "model.meta", ["net/scores:0"], folder / "frozen.pb")
    assert operations(tf, report.path) == {
        "Placeholder": 1, "Const": 2, "Conv2D": 1, "Mean": 1, "Sigmoid": 1, "Identity": 1,
    }  # fmt: skip
    assert "variables became constants: 1" in report.changes
    assert "nodes of training, saving and whatever else" in report.changes[0]
    outputs = infer("tensorflow", ModelFile(Format.FROZEN_GRAPH, report.path), {"image": X})
    np.testing.assert_allclose(outputs["net/scores"], expected, rtol=0, atol=1e-6)


def test_a_checkpoint_can_be_cut_at_a_node_that_is_fed(tf, trained, infer):
    folder, _ = trained
    report = write_frozen_checkpoint(
        folder / "model", ["net/scores"], folder / "frozen.pb", inputs=["net/cells"]
    )
    file = ModelFile(Format.FROZEN_GRAPH, report.path)
    cells = {"net/cells": np.zeros((1, 8, 8, 4), np.float32)}
    np.testing.assert_array_equal(
        infer("tensorflow", file, cells)["net/scores"], np.full((1, 4), 0.5)
    )


def test_a_saved_model_of_tensorflow_1_is_frozen_by_the_names_of_its_signature(
    trained, frozen, infer
):
    folder, expected = trained
    _, file, counts = frozen(ModelFile(Format.SAVED_MODEL, folder / "saved"))
    assert "VariableV2" not in counts
    outputs = infer("tensorflow", file, {"picture": X})
    np.testing.assert_allclose(outputs["found"], expected, rtol=0, atol=1e-6)
    with pytest.raises(ExportError, match="has no signature 'predict'; it has serving_default"):
        frozen(ModelFile(Format.SAVED_MODEL, folder / "saved", signature="predict"))


def test_a_checkpoint_that_lacks_something_is_refused_by_name(trained):
    folder, _ = trained
    checkpoint, output = folder / "model", folder / "frozen.pb"
    with pytest.raises(ExportError, match=r"the graph has no tensor 'boxes'; name nodes .* loss"):
        write_frozen_checkpoint(checkpoint, ["boxes"], output)
    with pytest.raises(ExportError, match="outputs: none is named"):
        write_frozen_checkpoint(checkpoint, [], output)
    with pytest.raises(ExportError, match=r"other.meta: no such file; a checkpoint is a .meta"):
        write_frozen_checkpoint(folder / "other", ["net/scores"], output)
    with pytest.raises(ExportError, match=r"need no Placeholder, but .*name the node that takes"):
        write_frozen_checkpoint(checkpoint, ["net/weights"], output)
    assert not output.exists()
