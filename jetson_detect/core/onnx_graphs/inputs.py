"""Inputs of bytes, for engines that do not take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_onnx
from jetson_detect.core.onnx_graphs.nesting import bodies
from jetson_detect.core.onnx_graphs.tidying import tidy

if TYPE_CHECKING:
    import onnx

_MOVING = (
    "Identity",
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Gather",
    "Concat",
    "Split",
    "Flatten",
)
"""What moves numbers without looking at them, so that it takes reals as well as bytes."""


@dataclass(frozen=True, eq=False)
class FloatInputs:
    """A network that takes reals."""

    model: onnx.ModelProto
    changes: tuple[str, ...]
    """What was done, in sentences."""


def reads_bytes_uncast(model: onnx.ModelProto) -> bool:
    """Say whether something else than a ``Cast`` reads an input of bytes (uint8).

    No TensorRT takes such a network as it is, for the reasons that :func:`float_inputs` gives,
    which makes one of it that all take.  A ``Shape``, which TensorRT would let pass, counts as
    such a reader too.

    Raises
    ------
    BackendUnavailableError
        If onnx is not installed.

    """
    names = {info.name for info in _byte_inputs(model.graph)}
    return any(
        node.op_type != "Cast" and not names.isdisjoint(node.input) for node in model.graph.node
    )


def float_inputs(model: onnx.ModelProto) -> FloatInputs:
    """Let inputs of bytes (uint8) take the same numbers, 0 to 255, as float32.

    Names and shapes stay.  :class:`jetson_detect.core.preprocess.Preprocessor` gives whichever the
    engine asks for.

    TensorRT's ONNX parser takes uint8 inputs from 8.5 on, older ones none
    (https://github.com/onnx/onnx-tensorrt/pull/879), and to 10 at least only where a ``Cast`` is
    the first to read them: no other layer, not even a transpose, knows bytes
    (https://github.com/NVIDIA/TensorRT/issues/3985).  This function does for graphs that are not
    so, and for engines whose precision is fixed by calibration.

    Raises
    ------
    OnnxGraphError
        If something reads the bytes as numbers before they are cast, or the graph is not valid.
    BackendUnavailableError
        If onnx or onnx-graphsurgeon is not installed.

    """
    onnx = import_onnx()
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    changes = []
    for info in _byte_inputs(graph):
        info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        _drop_needless_casts(graph, _moved(graph, info.name))
        changes.append(
            f"Input '{info.name}' takes the numbers 0 to 255 as float32 instead of uint8."
        )
    return FloatInputs(tidy(changed) if changes else changed, tuple(changes))


def _byte_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    byte = import_onnx().TensorProto.UINT8
    return [info for info in graph.input if info.type.tensor_type.elem_type == byte]


def _moved(graph: onnx.GraphProto, name: str) -> set[str]:
    """Return the tensors that hold an input's bytes."""
    held = {name}
    for node in graph.node:
        if not held.intersection(node.input) or node.op_type == "Cast":
            continue
        # An index may be of bytes, but that is none of the input's.
        if node.op_type not in _MOVING or bodies(node) or not set(node.input[:1]) <= held:
            raise OnnxGraphError(
                f"input '{name}' is read as uint8 by {node.op_type} '{node.name}' before it is "
                "cast to float; export the network with a cast first"
            )
        held.update(node.output)
    outputs = held.intersection(info.name for info in graph.output)
    if outputs:
        raise OnnxGraphError(
            f"output '{min(outputs)}' is the uint8 input '{name}' itself; leave the output out"
        )
    return held


def _drop_needless_casts(graph: onnx.GraphProto, reals: set[str]) -> None:
    """Make casts to float32 of what is float32 now, which TensorRT would run, nothing."""
    real = import_onnx().TensorProto.FLOAT
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in reals and node.attribute[0].i == real:
            node.op_type = "Identity"
            del node.attribute[:]
