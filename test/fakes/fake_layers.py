"""The layers of a fake TensorRT: those of a network that was parsed, and those of an engine."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

PLUGINS = frozenset({"EfficientNMS_TRT", "BatchedNMSDynamic_TRT"})
"""Operators that the parser knows once TensorRT's plugins are loaded."""

_KINDS = {
    "Cast": "CAST",
    "Constant": "CONSTANT",
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "DequantizeLinear": "DEQUANTIZE",
    "Gemm": "MATRIX_MULTIPLY",
    "Identity": "IDENTITY",
    "MatMul": "MATRIX_MULTIPLY",
    "NonMaxSuppression": "NMS",
    "QuantizeLinear": "QUANTIZE",
    "Shape": "SHAPE",
    "Transpose": "SHUFFLE",
    **dict.fromkeys(PLUGINS, "PLUGIN_V2"),
}
_COMPUTING = {"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"}
_OF_TENSORS = {"FLOAT16": "FP16", "BFLOAT16": "BF16"}
_SHORT = {"FP32": "Float", "FP16": "Half", "BF16": "BFloat16", "INT8": "Int8", "FP8": "FP8"}
_LONG = {
    "FP32": "Row major linear FP32",
    "FP16": "Channel major FP16 format where channel % 8 == 0",
    "INT8": "Thirty-two wide channel vectorized row major Int8 format",
}


@dataclass(frozen=True)
class NetworkLayer:
    """A node of the ONNX model; types as ONNX calls them, and tensors by name."""

    name: str
    kind: str
    """The name of a ``LayerType``."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: tuple[str, ...]
    """Those of the outputs."""
    quantized: str | None
    """The type that the first input was dequantised from; None where it was not."""


@dataclass(frozen=True)
class EngineLayer:
    """A layer of an engine, as the header of a plan keeps it."""

    name: str
    kind: str
    precision: str
    weights: bool


def layers_of(model: bytes) -> list[NetworkLayer]:
    """Return a network's layers, with the types that its tensors get."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model)).graph
    name_of = onnx.TensorProto.DataType.Name
    types = {
        value.name: name_of(value.type.tensor_type.elem_type)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    types.update({weights.name: name_of(weights.data_type) for weights in graph.initializer})
    dequantized = {
        node.output[0]: types.get(node.input[0], "INT8")
        for node in graph.node
        if node.op_type == "DequantizeLinear"
    }
    return [
        NetworkLayer(
            node.name or f"{node.op_type}_{index}",
            _KINDS.get(node.op_type, "ELEMENTWISE"),
            tuple(node.input),
            tuple(node.output),
            tuple(types.get(output, "FLOAT") for output in node.output),
            dequantized.get(node.input[0]) if node.input else None,
        )
        for index, node in enumerate(graph.node)
    ]


def built(
    layers: Sequence[NetworkLayer], flags: Collection[str], typed: bool, ignored: Collection[str]
) -> list[EngineLayer]:
    """Return what an engine makes of a network's layers.

    Parameters
    ----------
    layers:
        The network's.
    flags:
        Names of ``BuilderFlag``.
    typed:
        Whether precision comes with the network and not from flags.
    ignored:
        Precisions that the builder does without, although it was asked for them.

    """
    types = {output: kind for layer in layers for output, kind in zip(layer.outputs, layer.types)}

    def precision_of(layer: NetworkLayer) -> str:
        wanted = []
        if layer.quantized is not None:
            kind = "FP8" if layer.quantized.startswith("FLOAT8") else "INT8"
            wanted += [kind] if typed or kind in flags else []
        if typed:
            wanted.append(_OF_TENSORS.get(types.get(layer.outputs[0], ""), "FP32"))
        else:
            wanted += [kind for kind in ("FP16", "BF16") if kind in flags]
        return next((kind for kind in wanted if kind not in ignored), "FP32")

    return [
        EngineLayer(layer.name, layer.kind, precision_of(layer), layer.kind in _COMPUTING)
        for layer in layers
        if layer.kind not in ("CONSTANT", "QUANTIZE", "DEQUANTIZE")
    ]


def information(
    layers: Sequence[EngineLayer], detailed: bool, release: tuple[int, int]
) -> list[Any]:
    """Return what the inspector tells of an engine's layers; names only unless it is detailed."""
    copy = EngineLayer("Reformatting CopyNode for Input Tensor 0", "REFORMAT", "FP32", False)
    everything = [copy, *layers]
    if not detailed:
        return [layer.name for layer in everything]
    return [_information(layer, release) for layer in everything]


def as_text(document: Any) -> str:
    """Write JSON as TensorRT does: with control characters as they are."""
    return json.dumps(document, indent=1).replace("\\u001e", "\x1e")


def _information(layer: EngineLayer, release: tuple[int, int]) -> dict[str, Any]:
    new = release >= (10, 0)
    text = _SHORT[layer.precision] if new else _LONG.get(layer.precision, layer.precision)
    tensor = {"Location": "Device", "Dimensions": [1, 8, 8, 8], "Format/Datatype": text}
    kind = {"REFORMAT": "Reformat", "NMS": "NMS", "PLUGIN_V2": "PluginV2"}.get(layer.kind)
    if layer.weights:
        product = layer.kind == "MATRIX_MULTIPLY"
        kind = "gemm" if product and new else "MatrixMultiply" if product else "CaskConvolution"
    entry: dict[str, Any] = {
        "Name": layer.name,
        "LayerType": kind or ("kgen" if new else "PointWiseV2"),
        "Inputs": [{"Name": f"{layer.name} in", **tensor}],
        "Outputs": [{"Name": f"{layer.name} out", **tensor}],
        "TacticValue": "0x0000000000000000",
    }
    if layer.weights and not new:
        entry["ParameterType"] = "Convolution" if kind == "CaskConvolution" else "MatrixMultiply"
        entry["Weights"] = {"Type": _SHORT[layer.precision], "Count": 64}
    if release >= (8, 6):
        entry["Metadata"] = f"[ONNX Layer: {layer.name}]\x1e[ONNX Layer: activation]"
    return entry
