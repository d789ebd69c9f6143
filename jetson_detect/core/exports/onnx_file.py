"""ONNX files: from TensorFlow's files by tf2onnx, or from ONNX with its shapes fixed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.exports.errors import ExportError, import_exporter, refusing
from jetson_detect.core.exports.frozen_network import FrozenNetwork, freeze
from jetson_detect.core.exports.input_shapes import (
    Shape,
    axis_name,
    describe_fixed,
    fix_shapes,
)
from jetson_detect.core.exports.report import ExportReport, size_on_disk
from jetson_detect.core.exports.unknown_operations import remedies_for
from jetson_detect.core.model import Format, ModelFile

if TYPE_CHECKING:
    import onnx

_LARGEST_MESSAGE = 2**31 - 2**24
"""Bytes of weights that are written into the file itself; protobuf ends at 2 GiB."""
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Whose operations every runtime has."""


@dataclass(frozen=True)
class OnnxExportOptions:
    """How an ONNX file is written."""

    opset: int = 17
    """The newest that TensorRT 8.5 and 8.6 read; of an ONNX source its own one stays."""
    batch: int | None = 1
    """What an open first dimension becomes; None leaves it open, named ``batch``."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """By input, sizes for its open dimensions; None leaves one open, with a name."""


def write_onnx(
    source: ModelFile, output: Path, options: OnnxExportOptions = OnnxExportOptions()
) -> ExportReport:
    """Write a network as ONNX, with the names that our backend for the source gives its tensors.

    Parameters
    ----------
    source:
        A SavedModel, Keras file, frozen graph or ONNX file.
    output:
        The file; weights of more than 2 GiB are written to ``<output>.data`` beside it.
    options:
        How.

    Raises
    ------
    ExportError
        If the source cannot be read, or has operations that ONNX has not.

    """
    onnx = import_exporter("onnx", "pip install onnx")
    if source.format is Format.ONNX:
        model, changes = _from_onnx(onnx, source, options)
    else:
        network = freeze(source, options.batch, options.shapes)
        model = _from_tensorflow(onnx, network, options.opset)
        changes = list(network.changes)
    from jetson_detect.core.onnx_graphs import tidy

    _name_open_dimensions(model)
    with refusing(source, "the ONNX graph is not valid", "try another opset, or export it again"):
        model = tidy(model)
    changes += _save(onnx, model, output)
    return ExportReport(
        output,
        tuple(changes),
        {
            "opset": next(entry.version for entry in model.opset_import if not entry.domain),
            "nodes": len(model.graph.node),
            "size": size_on_disk(output),
            "inputs": {info.name: _dimensions(info) for info in _inputs(model)},
            "outputs": {info.name: _dimensions(info) for info in model.graph.output},
        },
    )


def _from_tensorflow(onnx: Any, network: FrozenNetwork, opset: int) -> onnx.ModelProto:
    tf2onnx = import_exporter("tf2onnx", "pip install tf2onnx")
    newest = max(tf2onnx.constants.OPSET_TO_IR_VERSION)
    if opset > newest:
        raise ExportError(
            f"opset {opset}: tf2onnx {tf2onnx.__version__} writes opsets up to {newest}; "
            "choose one of those"
        )
    path = network.source.path
    tensors = {f"{network.nodes[name]}:0": name for name in network.nodes}
    fed, fetched = (
        [f"{network.nodes[info.name]}:0" for info in infos]
        for infos in (network.inputs, network.outputs)
    )
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    # It goes on without what it cannot convert, which is found below.
    logger.setLevel(logging.CRITICAL)
    try:
        with refusing(
            network.source,
            f"tf2onnx {tf2onnx.__version__} cannot convert it",
            "try another opset, or rewrite the operation that it names",
        ):
            model, _ = tf2onnx.convert.from_graph_def(
                network.graph,
                name=path.stem,
                input_names=fed,
                output_names=fetched,
                opset=opset,
                tensors_to_rename=tensors,
            )
    finally:
        logger.setLevel(level)
    _refuse_unknown(onnx, model, path, opset)
    # Every open dimension was given a name of its own, of which none says that it is the batch.
    del model.graph.value_info[:]
    for value in (*_inputs(model), *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.Clear()
    return model


def _refuse_unknown(onnx: Any, model: onnx.ModelProto, path: Path, opset: int) -> None:
    """Refuse operations that were left as TensorFlow's, or that only one runtime has."""
    unknown = Counter(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for node in _nodes(model.graph)
        if node.domain not in _DOMAINS
        or not onnx.defs.has(node.op_type, opset if not node.domain else 1_000, node.domain)
    )
    if unknown:
        raise ExportError(
            f"{path}: ONNX opset {opset} has nothing for "
            f"{', '.join(f'{count} {name}' for name, count in sorted(unknown.items()))}; "
            f"{remedies_for(unknown)}"
        )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes, those of branches and loops too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _from_onnx(
    onnx: Any, source: ModelFile, options: OnnxExportOptions
) -> tuple[onnx.ModelProto, list[str]]:
    with refusing(
        source, "is no ONNX file, or lacks its weights", "copy it with the files beside it"
    ):
        model = onnx.load(str(source.path))
    infos = tuple(_describe(onnx, value) for value in _inputs(model))
    shapes = fix_shapes(source.path, infos, options.batch, options.shapes)
    sizes: dict[str, int] = {}  # that dimensions of this name have now
    for value in _inputs(model):
        for dimension, size in zip(value.type.tensor_type.shape.dim, shapes[value.name]):
            if size is None:
                continue
            if dimension.dim_param and sizes.setdefault(dimension.dim_param, size) != size:
                raise ExportError(
                    f"{source.path}: shapes: '{dimension.dim_param}' of input '{value.name}' is "
                    f"{size} here and {sizes[dimension.dim_param]} elsewhere; give it one size"
                )
            dimension.dim_value = size
    for value in (*_inputs(model), *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]
    fixed = {value.name: _describe(onnx, value).shape for value in _inputs(model)}
    changes = list(describe_fixed(infos, fixed))
    if changes:
        del model.graph.value_info[:]  # which is inferred again
    return model, changes


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return what is to be fed; old files list their weights among the inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _describe(onnx: Any, value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    shape = tuple(
        dimension.dim_value if dimension.dim_value > 0 else None for dimension in kind.shape.dim
    )
    return TensorInfo(
        value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    )


def _name_open_dimensions(model: onnx.ModelProto) -> None:
    """Give open dimensions of inputs names that say what they are, wherever they occur."""
    names: dict[str, str] = {}
    for value in _inputs(model):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.dim_value > 0:
                continue
            name = axis_name(value.name, axis)
            if dimension.dim_param:
                names.setdefault(dimension.dim_param, name)
            dimension.dim_param = names.get(dimension.dim_param, name)
    for value in (*model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in names:
                dimension.dim_param = names[dimension.dim_param]


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    return [
        dimension.dim_value or dimension.dim_param or "?"
        for dimension in value.type.tensor_type.shape.dim
    ]


def _save(onnx: Any, model: onnx.ModelProto, output: Path) -> list[str]:
    """Write the file, its weights beside it where they are too many; say so."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f"{output.name}.data")
    beside.unlink(missing_ok=True)  # onnx appends to a file that is there
    if sum(_size(tensor) for tensor in model.graph.initializer) <= _LARGEST_MESSAGE:
        onnx.save(model, str(output))
        return []
    onnx.save(model, str(output), save_as_external_data=True, location=beside.name)
    return [f"the weights were written to {beside.name} beside it"]


def _size(tensor: onnx.TensorProto) -> int:
    return len(tensor.raw_data) or 8 * sum(
        len(values)
        for values in (
            tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data,
        )
    )  # fmt: skip
