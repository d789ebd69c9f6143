"""Networks, one for each feature, as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .subjects import DEMO

if TYPE_CHECKING:
    import onnx


def _save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Mapping[str, tuple[int, Sequence[int | str | None]]],
    weights: Mapping[str, NDArray[Any]],
) -> Path:
    """Write a graph; inputs and outputs by name: ONNX's type, and the shape."""
    import onnx
    from random_networks import IR_VERSION, OPSET

    graph = onnx.helper.make_graph(
        nodes,
        path.stem,
        [onnx.helper.make_tensor_value_info(name, *info) for name, info in inputs.items()],
        [onnx.helper.make_tensor_value_info(name, *info) for name, info in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), str(path))
    return path


def _save_affine(path: Path) -> Path:
    """Write ``y = x * a + b``."""
    from onnx import TensorProto, helper

    numbers = np.random.RandomState(1).standard_normal((2, 1, 64)).astype(np.float32)
    return _save_graph(
        path,
        [helper.make_node("Mul", ["x", "a"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])],
        {"x": (TensorProto.FLOAT, [1, 64])},
        {"y": (TensorProto.FLOAT, [1, 64])},
        {"a": numbers[0], "b": numbers[1]},
    )


def _save_convolution(path: Path) -> Path:
    """Write a convolution with a bend behind it, of pictures of any number and size."""
    from onnx import TensorProto, helper

    kernels = np.random.RandomState(2).standard_normal((8, 3, 3, 3)).astype(np.float32)
    return _save_graph(
        path,
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        {"x": (TensorProto.FLOAT, ["batch", 3, "height", "width"])},
        {"y": (TensorProto.FLOAT, ["batch", 8, "height", "width"])},
        {"w": kernels},
    )


def _save_nonzero(path: Path) -> Path:
    """Write a network whose output is as long as its input has numbers other than 0."""
    from onnx import TensorProto, helper

    return _save_graph(
        path,
        [helper.make_node("NonZero", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, [4, 16])},
        {"y": (TensorProto.INT64, [2, None])},
        {},
    )


def _save_uint8(path: Path) -> Path:
    """Write a network that takes and gives bytes: each divided by two."""
    from onnx import TensorProto, helper

    return _save_graph(
        path,
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "half"], ["h"]),
            helper.make_node("Cast", ["h"], ["y"], to=TensorProto.UINT8),
        ],
        {"x": (TensorProto.UINT8, [1, 8, 8, 3])},
        {"y": (TensorProto.UINT8, [1, 8, 8, 3])},
        {"half": np.array([0.5], np.float32)},
    )


def _save_sum(dtype: type[np.generic], path: Path) -> Path:
    """Write ``y = x + x + 1`` of one type."""
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return _save_graph(
        path,
        [
            helper.make_node("Add", ["x", "x"], ["twice"]),
            helper.make_node("Add", ["twice", "one"], ["y"]),
        ],
        {"x": (kind, [1, 64])},
        {"y": (kind, [1, 64])},
        {"one": np.ones(1, dtype)},
    )


def _save_open_demo(path: Path) -> Path:
    """Write the demo network for any number of pictures."""
    import onnx

    from jetson_detect.core.model import Format, load_model
    from jetson_detect.core.onnx_graphs.open_batch import open_batch

    file = load_model(DEMO).files_for([Format.ONNX])[0]
    onnx.save(open_batch(onnx.load(file.path)), str(path))
    return path


GRAPHS: Mapping[str, Callable[[Path], Path]] = {
    "affine": _save_affine,
    "convolution": _save_convolution,
    "nonzero": _save_nonzero,
    "uint8": _save_uint8,
    "float16": partial(_save_sum, np.float16),
    "int64": partial(_save_sum, np.int64),
    "demo_batch": _save_open_demo,
}
"""Networks, one for each feature."""
