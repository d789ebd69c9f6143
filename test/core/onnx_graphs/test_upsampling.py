from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.onnx_graphs import restore_upsampling, tidy

NCHW = [("x", "float32", (1, 3, 4, 5))]
NHWC = [("x", "float32", (1, 4, 5, 3))]


def as_keras(build, repeats=(2, 2), axes=(2, 3)):
    """Each row, then each column, repeated as tf.repeat is spelt out: (1, 3, 4, 5) goes in."""
    (rows, columns), (first, second) = repeats, axes
    return tidy(
        build(
            [
                ("Unsqueeze", ["x", "first"], ["a"]),
                ("Tile", ["a", "rows"], ["b"]),
                ("Reshape", ["b", "higher"], ["c"]),
                ("Unsqueeze", ["c", "second"], ["d"]),
                ("Tile", ["d", "columns"], ["e"]),
                ("Reshape", ["e", "wider"], ["f"]),
                ("Relu", ["f"], ["y"]),
            ],
            NCHW,
            [("y", "float32", [1, 3, 4 * rows, 5 * columns])],
            {
                "first": np.int64([first + 1]),
                "rows": np.int64([1, 1, 1, rows, 1]),
                "higher": np.int64([1, 3, 4 * rows, 5]),
                "second": np.int64([second + 1]),
                "columns": np.int64([1, 1, 1, 1, columns]),
                "wider": np.int64([1, 3, 4 * rows, 5 * columns]),
            },
        )
    )


def operators(model) -> list[str]:
    return [node.op_type for node in model.graph.node]


def feed(shape) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize("repeats", [(2, 2), (3, 1), (1, 4)])
def test_repeated_pixels_become_one_resize_that_gives_the_same(build, run_onnx, repeats):
    model = as_keras(build, repeats)
    restored = restore_upsampling(model)
    assert operators(restored.model) == ["Resize", "Relu"]
    pixels = feed((1, 3, 4, 5))
    np.testing.assert_array_equal(run_onnx(restored.model, pixels), run_onnx(model, pixels))
    (change,) = restored.changes
    assert "6 nodes" in change
    assert change.endswith(f"became one Resize by {repeats[0]} x {repeats[1]}.")


def test_pictures_with_their_channels_last_are_turned_around_it(build, run_onnx):
    model = tidy(
        build(
            [
                ("Unsqueeze", ["x", "axis"], ["a"]),
                ("Tile", ["a", "times"], ["b"]),
                ("Reshape", ["b", "size"], ["y"]),
            ],
            NHWC,
            [("y", "float32", [1, 8, 5, 3])],
            {
                "axis": np.int64([2]),
                "times": np.int64([1, 1, 2, 1, 1]),
                "size": np.int64([1, 8, 5, 3]),
            },
        )
    )
    restored = restore_upsampling(model).model
    assert operators(restored) == ["Transpose", "Resize", "Transpose"]
    assert restored.graph.output[0].name == "y"
    pixels = feed((1, 4, 5, 3))
    np.testing.assert_array_equal(run_onnx(restored, pixels), run_onnx(model, pixels))


def test_a_picture_that_is_repeated_as_a_whole_is_no_upsampling(build):
    tiled = tidy(
        build(
            [("Tile", ["x", "times"], ["t"]), ("Relu", ["t"], ["y"])],
            NCHW,
            [("y", "float32", [1, 3, 8, 10])],
            {"times": np.int64([1, 1, 2, 2])},
        )
    )
    restored = restore_upsampling(tiled)
    assert restored.changes == ()
    assert restored.model == tiled


def test_what_something_else_reads_in_between_is_left(build):
    model = build(
        [
            ("Unsqueeze", ["x", "axis"], ["a"]),
            ("Tile", ["a", "times"], ["b"]),
            ("Reshape", ["b", "size"], ["y"]),
            ("Relu", ["b"], ["z"]),
        ],
        NCHW,
        [("y", "float32", [1, 3, 8, 5]), ("z", "float32", [1, 3, 4, 2, 5])],
        {
            "axis": np.int64([3]),
            "times": np.int64([1, 1, 1, 2, 1]),
            "size": np.int64([1, 3, 8, 5]),
        },
    )
    assert restore_upsampling(tidy(model)).changes == ()


def test_an_old_set_of_operators_and_open_shapes_are_left(build):
    assert restore_upsampling(as_keras(build, (2, 2))).changes
    model = as_keras(build)
    for entry in model.opset_import:
        entry.version = 12
    assert restore_upsampling(model).changes == ()
    model = as_keras(build, (2, 1))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert restore_upsampling(model).changes == ()


def test_the_demo_models_pyramid_has_two(demo_model, run_onnx):
    model = tidy(demo_model)
    restored = restore_upsampling(model)
    assert len(restored.changes) == 2
    assert operators(restored.model).count("Resize") == 2
    assert not {"Tile", "Unsqueeze"} & set(operators(restored.model))
    picture = {"image": np.random.default_rng(2).random((1, 160, 160, 3)).astype(np.float32)}
    for exact, other in zip(run_onnx(model, picture), run_onnx(restored.model, picture)):
        np.testing.assert_allclose(other, exact, atol=1e-5)
