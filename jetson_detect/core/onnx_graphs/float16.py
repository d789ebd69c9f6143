"""FP16 written into a graph, for TensorRT versions whose engines have the graph's own types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_onnx, import_onnxruntime
from jetson_detect.core.onnx_graphs.nesting import ancestors, bodies
from jetson_detect.core.onnx_graphs.plugins import PluginsDetached
from jetson_detect.core.onnx_graphs.tidying import tidy

if TYPE_CHECKING:
    import onnx

LARGEST = 65504.0
"""The largest number of half precision."""
_HALF_SCALES_OPSET = 19
_HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""What FP16 makes faster."""
_KEPT = ("NonMaxSuppression", "TopK", "RoiAlign", "Range", "CumSum")
"""Operations that half precision does not exist for, or whose sums and ranks it would spoil."""


@dataclass(frozen=True, eq=False)
class Float16Model:
    """A network that computes in half precision."""

    model: onnx.ModelProto
    changes: tuple[str, ...]
    """What was done, in sentences."""


def bake_float16(model: onnx.ModelProto) -> Float16Model:
    """Turn weights and arithmetic into FP16; inputs and outputs keep their types.

    What follows the last convolution or matrix product, where candidates become boxes, stays FP32:
    it takes no time, and half precision would round pixels from 1024 on to whole ones.  So do
    operations that know no FP16.  Weights beyond ±65504 are held there, and counted in the changes.

    A quantised network (:func:`quantize_int8`) comes out with opset 19, the first that has Q/DQ of
    FP16, which TensorRT parses from 10 on.  ONNX Runtime's own optimisations compute such a graph
    on the CPU with three times the error; without them it is as exact as with FP32 scales.

    By ``onnxruntime.transformers.float16``, with what it leaves behind mended: casts that several
    FP32 nodes share, and FP32 turned into FP16 and back between two of them.

    Parameters
    ----------
    model:
        An FP32 network; the given one is not changed.

    Raises
    ------
    OnnxGraphError
        If it cannot be converted, as where FP32 operations are inside of a loop.
    BackendUnavailableError
        If onnx, onnx-graphsurgeon or ONNX Runtime is not installed.

    """
    onnx = import_onnx()
    float16 = import_onnxruntime("onnxruntime.transformers.float16")
    detached = PluginsDetached(_with_half_scales(tidy(model)))
    bare = onnx.ModelProto()
    bare.CopyFrom(detached.model)
    # Weights and nodes beyond the halves' reach are counted before the library holds them.
    held = _beyond_reach(bare)
    heavy = [name for node in bare.graph.node if node.op_type in _HEAVY for name in node.output]
    before = {node.name for node in ancestors(bare.graph, heavy)}
    kept = [node.name for node in bare.graph.node if node.name not in before]
    try:
        converted = float16.convert_float_to_float16(
            bare,
            keep_io_types=True,
            op_block_list=list(_KEPT),
            node_block_list=kept,
            max_finite_val=LARGEST,
        )
        _share_casts(converted.graph)
        _skip_round_trips(converted.graph)
        baked = tidy(detached.attach(converted))
    except Exception as error:
        loops = [node.name for node in model.graph.node if bodies(node)]
        raise OnnxGraphError(
            f"graph '{model.graph.name}' cannot be turned into FP16 ({reason(error)}); "
            + (f"'{loops[0]}' may be why: cut suppression out first, or " if loops else "")
            + "build it as FP32"
        ) from error
    changes = [
        f"Arithmetic and weights are FP16; {len(kept)} nodes behind the last convolution stay "
        "FP32, inputs and outputs keep their types."
    ]
    changes += [
        f"{count} numbers of weight '{name}' lay beyond ±{LARGEST:.0f} and are held there."
        for name, count in held.items()
    ]
    return Float16Model(baked, tuple(changes))


def _with_half_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a quantised graph to the first opset whose scales may be FP16.

    Casts around Q/DQ instead would keep TensorRT from fusing them with convolutions.
    """
    onnx = import_onnx()
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    is_quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if not is_quantized or opset >= _HALF_SCALES_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _HALF_SCALES_OPSET)
    except Exception as error:
        raise OnnxGraphError(
            f"the quantised graph '{model.graph.name}' cannot be brought from opset {opset} to "
            f"{_HALF_SCALES_OPSET} ({reason(error)}), which FP16 scales need; build it as INT8 "
            "and FP32"
        ) from error


def _beyond_reach(model: onnx.ModelProto) -> dict[str, int]:
    """Count the finite numbers of each weight that are too large."""
    onnx = import_onnx()
    counts = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            sizes = np.abs(onnx.numpy_helper.to_array(tensor))
            count = int(np.count_nonzero((sizes > LARGEST) & np.isfinite(sizes)))
            if count:
                counts[tensor.name] = count
    return counts


def _share_casts(graph: onnx.GraphProto) -> None:
    """Keep one of the casts that make the same tensor: one was added for each reader."""
    seen: set[str] = set()
    kept = []
    for node in graph.node:
        if node.op_type != "Cast" or node.output[0] not in seen:
            kept.append(node)
        seen.update(node.output)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _skip_round_trips(graph: onnx.GraphProto) -> None:
    """Let FP32 that was cast to FP16 and back be read where it came from, unrounded."""
    onnx = import_onnx()
    half, real = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    types = {info.name: info.type.tensor_type.elem_type for info in graph.value_info}
    outputs = {info.name for info in graph.output}
    unrounded = {}
    for name, node in casts.items():
        first = casts.get(node.input[0])
        if first is None or node.attribute[0].i != real or first.attribute[0].i != half:
            continue
        if types.get(first.input[0]) == real:
            unrounded[name] = first.input[0]
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = unrounded.get(name, name)
        if node.op_type == "Cast" and node.output[0] in unrounded and node.output[0] in outputs:
            node.op_type, node.input[0] = "Identity", unrounded[node.output[0]]
            del node.attribute[:]
