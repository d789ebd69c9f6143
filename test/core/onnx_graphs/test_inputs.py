from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.onnx_graphs import OnnxGraphError, float_inputs, reads_bytes_uncast

BYTES = [("image", "uint8", [1, 2, 2, 3])]
REALS = [("y", "float32", [1, 3, 2, 2])]
IMAGE = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3) * 23


def input_type(model) -> int:
    return model.graph.input[0].type.tensor_type.elem_type


def test_an_input_of_bytes_takes_the_same_numbers_as_reals(build, run_onnx, onnx):
    model = build(
        [("Cast", ["image"], ["real"], {"to": 1}), ("Transpose", ["real"], ["y"], TO_NCHW)],
        BYTES,
        REALS,
    )
    result = float_inputs(model)
    assert input_type(result.model) == onnx.TensorProto.FLOAT
    assert input_type(model) == onnx.TensorProto.UINT8
    assert "Cast" not in [node.op_type for node in result.model.graph.node]
    assert result.changes == (
        "Input 'image' takes the numbers 0 to 255 as float32 instead of uint8.",
    )
    np.testing.assert_array_equal(
        run_onnx(result.model, {"image": IMAGE.astype("f4")})[0],
        run_onnx(model, {"image": IMAGE})[0],
    )


TO_NCHW = {"perm": [0, 3, 1, 2]}


def test_bytes_may_be_moved_before_they_are_cast(build, run_onnx):
    # TensorRT knows bytes in a cast alone, not in a transpose.
    model = build(
        [("Transpose", ["image"], ["moved"], TO_NCHW), ("Cast", ["moved"], ["y"], {"to": 1})],
        BYTES,
        REALS,
    )
    result = float_inputs(model)
    assert result.model.graph.node[0].op_type == "Transpose"
    assert "Cast" not in [node.op_type for node in result.model.graph.node]
    np.testing.assert_array_equal(
        run_onnx(result.model, {"image": IMAGE.astype("f4")})[0],
        run_onnx(model, {"image": IMAGE})[0],
    )


def test_a_cast_to_something_else_stays(build, run_onnx):
    model = build([("Cast", ["image"], ["y"], {"to": 6})], BYTES, [("y", "int32", [1, 2, 2, 3])])
    result = float_inputs(model)
    np.testing.assert_array_equal(
        run_onnx(result.model, {"image": IMAGE.astype("f4")})[0], IMAGE.astype("i4")
    )


def test_bytes_that_are_computed_with_are_refused(build):
    # 200 + 200 is 144 in bytes.
    model = build(
        [("Add", ["image", "image"], ["twice"]), ("Cast", ["twice"], ["y"], {"to": 1})],
        BYTES,
        [("y", "float32", [1, 2, 2, 3])],
    )
    with pytest.raises(OnnxGraphError, match=r"'image' is read as uint8 by Add 'twice'"):
        float_inputs(model)


def test_an_output_that_is_the_input_is_refused(build):
    model = build([("Identity", ["image"], ["y"])], BYTES, [("y", "uint8", [1, 2, 2, 3])])
    with pytest.raises(OnnxGraphError, match=r"output 'y' is the uint8 input 'image' itself"):
        float_inputs(model)


def test_other_inputs_stay(demo_model):
    result = float_inputs(demo_model)
    assert result.changes == ()
    assert result.model == demo_model


CAST = ("Cast", ["image"], ["real"], {"to": 1})
TURN = ("Transpose", ["real"], ["y"], TO_NCHW)


def test_bytes_that_only_casts_read_can_be_kept(build):
    assert not reads_bytes_uncast(build([CAST, TURN], BYTES, REALS))
    again = ("Cast", ["image"], ["again"], {"to": 6})
    both = [*REALS, ("again", "int32", [1, 2, 2, 3])]
    assert not reads_bytes_uncast(build([CAST, again, TURN], BYTES, both))


@pytest.mark.parametrize(
    ("other", "dtype", "shape"),
    [
        (("Identity", ["image"], ["other"]), "uint8", [1, 2, 2, 3]),
        (("Shape", ["image"], ["other"]), "int64", [4]),
        (("Transpose", ["image"], ["other"], TO_NCHW), "uint8", [1, 3, 2, 2]),
    ],
)
def test_one_reader_of_bytes_that_is_no_cast_suffices(build, other, dtype, shape):
    model = build([CAST, other, TURN], BYTES, [*REALS, ("other", dtype, shape)])
    assert reads_bytes_uncast(model)


def test_who_reads_other_inputs_does_not_matter(build):
    two = [*BYTES, ("real_image", "float32", [1, 2, 2, 3])]
    turn = ("Transpose", ["real_image"], ["z"], TO_NCHW)
    model = build([CAST, TURN, turn], two, [*REALS, ("z", "float32", [1, 3, 2, 2])])
    assert not reads_bytes_uncast(model)


def test_float_inputs_leaves_no_bytes_to_be_read(build):
    moved = [("Transpose", ["image"], ["moved"], TO_NCHW), ("Cast", ["moved"], ["y"], {"to": 1})]
    model = build(moved, BYTES, REALS)
    assert reads_bytes_uncast(model)
    assert not reads_bytes_uncast(float_inputs(model).model)
