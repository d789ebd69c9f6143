"""A network that was exported for one picture, made to take several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_onnx

if TYPE_CHECKING:
    import onnx

AXIS = "batch"
"""What the open axis is called."""
_ANY = -1
"""Of a Reshape: as long as the rest asks for."""


def open_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the first axis of all inputs and outputs open.

    Exporters write the 1 of a fixed batch into the shapes of Reshape nodes as well: there it
    becomes "as long as the rest asks for".  Other operations that were given the whole shape of
    their output (Expand, Resize by sizes) are left as they are.

    Parameters
    ----------
    model:
        A network whose inputs and outputs have a first axis of 1; it is not changed.

    Raises
    ------
    OnnxGraphError
        If an input or output is not for one picture, or a Reshape leaves another axis open.

    """
    onnx = import_onnx()
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    graph = opened.graph
    for tensor in (*graph.input, *graph.output):
        sizes = tensor.type.tensor_type.shape.dim
        if not sizes or sizes[0].dim_value != 1:
            raise OnnxGraphError(
                f"'{tensor.name}' is not for one picture: its batch cannot be opened; export the "
                "network with an open first axis"
            )
        sizes[0].dim_param = AXIS
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for constant in graph.initializer:
        if constant.name in shapes:
            shape = onnx.numpy_helper.to_array(constant).copy()
            if shape.size and shape[0] == 1:
                if _ANY in shape:
                    raise OnnxGraphError(
                        f"'{constant.name}' leaves an axis of a Reshape open, and the first is 1: "
                        "export the network with an open first axis"
                    )
                shape[0] = _ANY
                constant.CopyFrom(onnx.numpy_helper.from_array(shape, constant.name))
    # What was inferred for one picture.
    del graph.value_info[:]
    return opened
