"""TensorFlow 1: variables that live in a session become constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jetson_detect.core.backends.tensorflow.network import Network, describe
from jetson_detect.core.exports.errors import ExportError
from jetson_detect.core.model import ModelFile

_TAG = "serve"
_SIGNATURE = "serving_default"

_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
_REFERENCES = ("Variable", "VariableV2", "AutoReloadVariable")
"""Variables of before resources, which TensorFlow 2 loads, but cannot make constants of."""
_FEW = 10
"""Names in an error."""


@dataclass(frozen=True, eq=False)
class FrozenPart:
    """The part of a graph that lies between inputs and outputs."""

    graph: Any
    """A ``GraphDef`` of constants."""
    inputs: Mapping[str, str]
    """The placeholder of each, by name."""
    outputs: Mapping[str, str]
    """The node of each, which nobody consumes, by name."""
    changes: tuple[str, ...]


def freeze_session(
    tf: Any,
    path: Path,
    load: Callable[[Any], None],
    outputs: Mapping[str, str],
    inputs: Mapping[str, str],
) -> FrozenPart:
    """Load a graph with its variables and cut out a part.

    Parameters
    ----------
    tf:
        The library.
    path:
        What is loaded, for errors.
    load:
        Puts graph and variables into a session and its graph, which is the default one.
    outputs, inputs:
        Tensors by the names that they are to have; ``node`` is ``node:0``.  Without inputs, they
        are all placeholders that the outputs need.

    Raises
    ------
    ExportError
        If the graph lacks one of them, or has nothing to feed.

    """
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        load(session)
        fed = {_tensor(graph, path, tensor).op.name: name for name, tensor in inputs.items()}
        # Nodes of which nobody consumes anything, whatever the outputs themselves are.
        ends = {
            name: tf.identity(_tensor(graph, path, tensor), "end").op.name
            for name, tensor in outputs.items()
        }
        definition = graph.as_graph_def()
        for node in definition.node:
            if node.name in fed and node.op != "Placeholder":
                _make_placeholder(node, graph.get_tensor_by_name(f"{node.name}:0"))
        needed = v1.graph_util.extract_sub_graph(definition, list(ends.values()))
        frozen = v1.graph_util.convert_variables_to_constants(
            session, definition, list(ends.values())
        )
    placeholders = [node.name for node in frozen.node if node.op == "Placeholder"]
    if not placeholders:
        sources = sorted({node.op for node in frozen.node if not node.input} - {"Const"})
        raise ExportError(
            f"{path}: the outputs need no Placeholder, but {', '.join(sources) or 'constants'}; "
            "name the node that takes the pictures in inputs"
        )
    changes = []
    if len(needed.node) < len(definition.node):
        changes.append(
            f"{len(definition.node) - len(needed.node)} nodes of training, saving and whatever "
            "else the outputs do not need were left out"
        )
    variables = sum(node.op in _VARIABLES for node in needed.node)
    if variables:
        changes.append(f"variables became constants: {variables}")
    return FrozenPart(
        frozen, {fed.get(node, node): node for node in placeholders}, ends, tuple(changes)
    )


def has_reference_variables(saved_model: Path) -> bool:
    """Whether a SavedModel has variables that only a session can make constants of."""
    if not saved_model.is_dir():
        return False
    return any(
        node.op in _REFERENCES
        for meta in _parse(saved_model).meta_graphs
        for node in meta.graph_def.node
    )


def load_from_session(tf: Any, file: ModelFile) -> Network:
    """Load a signature of a SavedModel that TensorFlow 1 wrote, its variables as constants.

    Raises
    ------
    ExportError
        If there is no such signature.

    """
    (meta, *_) = [
        meta for meta in _parse(file.path).meta_graphs if _TAG in meta.meta_info_def.tags
    ] or _parse(file.path).meta_graphs
    signatures = meta.signature_def
    name = file.signature or (next(iter(signatures)) if len(signatures) == 1 else _SIGNATURE)
    if name not in signatures:
        raise ExportError(
            f"{file.path}: has no signature '{name}'; it has {', '.join(signatures) or 'none'}: "
            "name one of them as this file's signature in model.yaml"
        )
    tags = list(meta.meta_info_def.tags)
    part = freeze_session(
        tf,
        file.path,
        lambda session: tf.compat.v1.saved_model.load(session, tags, str(file.path)),
        {key: info.name for key, info in signatures[name].outputs.items()},
        {key: info.name for key, info in signatures[name].inputs.items()},
    )
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(part.graph, name=""), []
    )
    inputs, outputs = (
        {key: wrapped.graph.get_tensor_by_name(f"{node}:0") for key, node in nodes.items()}
        for nodes in (part.inputs, part.outputs)
    )
    function = wrapped.prune(list(inputs.values()), outputs)

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        results: Mapping[str, Any] = function(*(tensors[key] for key in inputs))
        return results

    return describe(tf, inputs, outputs, call, owner=wrapped)


def _parse(saved_model: Path) -> Any:
    from tensorflow.python.saved_model import loader_impl

    return loader_impl.parse_saved_model(str(saved_model))


def _make_placeholder(node: Any, tensor: Any) -> None:
    node.op = "Placeholder"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = tensor.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())


def _tensor(graph: Any, path: Path, name: str) -> Any:
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        raise ExportError(
            f"{path}: the graph has no tensor '{name}'; name nodes that it has, as "
            f"{', '.join(_ends(graph)) or 'none'}"
        ) from error


def _ends(graph: Any) -> list[str]:
    """Return some nodes that may be meant: those that end a graph, without training's."""
    ends = [
        operation.name
        for operation in graph.get_operations()
        if operation.outputs
        and not any(tensor.consumers() for tensor in operation.outputs)
        and not any(part in operation.name for part in ("save/", "gradients", "IsInitialized"))
    ]
    return ends[:_FEW]
