"""Frozen graphs: a GraphDef in a ``.pb`` file, all weights constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.backends.tensorflow.network import Network, describe
from jetson_detect.core.model import ModelFile


def load_frozen_graph(tf: Any, file: ModelFile) -> Network:
    """Load a GraphDef by the names of its tensors.

    Inputs are its placeholders.  Outputs are what nobody in the graph consumes, and whatever else
    the file's ``tensors`` name.  A name without ``:0`` means a node's first tensor.

    Raises
    ------
    BackendError
        If the file is no GraphDef, or lacks inputs or a tensor that was named.

    """
    definition = _parse(tf, file)
    inputs = [node.name for node in definition.node if node.op == "Placeholder"]
    if not inputs:
        raise BackendError(
            f"{file.path}: has no Placeholder, so nothing to feed; freeze the graph for inference"
        )
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(definition, name=""), []
    )
    fed = {name: wrapped.graph.get_tensor_by_name(f"{name}:0") for name in inputs}
    tensors: dict[str, str] = {}  # the name by which it is known, of each
    for tensor in _ends(wrapped.graph):
        tensors[tensor] = _short(tensor)
    for name in file.tensors.values():
        tensor = name if ":" in name else f"{name}:0"
        if _short(tensor) in fed:
            if name not in fed:
                fed = {name if key == _short(tensor) else key: fed[key] for key in fed}
            continue
        tensors[tensor] = name
    fetched = {name: _tensor(wrapped.graph, tensor, file) for tensor, name in tensors.items()}
    function = wrapped.prune(list(fed.values()), fetched)
    order = list(fed)

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = function(*(tensors[name] for name in order))
        return outputs

    return describe(tf, fed, fetched, call, owner=wrapped)


def _parse(tf: Any, file: ModelFile) -> Any:
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(file.path.read_bytes())
    except Exception as error:  # protobuf's own kind, whose place differs between releases
        raise BackendError(
            f"{file.path}: is no frozen graph: {reason(error)}; copy it again, or name its real "
            "format in model.yaml"
        ) from error
    return definition


def _ends(graph: Any) -> Iterable[str]:
    """Yield the tensors of the operations of which no tensor is consumed."""
    for operation in graph.get_operations():
        ends = not any(tensor.consumers() for tensor in operation.outputs)
        if ends and operation.type not in ("Const", "Placeholder", "PlaceholderWithDefault"):
            yield from (tensor.name for tensor in operation.outputs)


def _short(tensor: str) -> str:
    """Leave the ``:0`` out that a first tensor may have."""
    return tensor[:-2] if tensor.endswith(":0") else tensor


def _tensor(graph: Any, name: str, file: ModelFile) -> Any:
    try:
        return graph.get_tensor_by_name(name)
    except (KeyError, ValueError) as error:
        raise BackendError(
            f"{file.path}: has no tensor '{name}'; correct this file's tensors in model.yaml"
        ) from error
