"""Nodes that only TensorRT knows: plugins, which ONNX and ONNX Runtime cannot check or run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jetson_detect.core.onnx_graphs.libraries import import_onnx
from jetson_detect.core.onnx_graphs.nesting import all_nodes, is_onnx, reads

if TYPE_CHECKING:
    import onnx

_STAND_IN = "jetson_detect.plugins"
"""A domain of which the checker knows nothing, and so takes any node."""


def plugin_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that are in ONNX's own domain, as TensorRT wants it, but not in ONNX."""
    defs = import_onnx().defs
    functions = {(function.domain, function.name) for function in model.functions}
    return [
        node
        for node in all_nodes(model.graph.node)
        if is_onnx(node)
        and not defs.has(node.op_type)
        and (node.domain, node.op_type) not in functions
    ]


@contextmanager
def plugins_set_apart(model: onnx.ModelProto) -> Iterator[None]:
    """Put plugins into a domain of their own for a while, so that all else can be checked."""
    nodes = [(node, node.domain) for node in plugin_nodes(model)]
    if nodes:
        model.opset_import.add(domain=_STAND_IN, version=1)
    try:
        for node, _ in nodes:
            node.domain = _STAND_IN
        yield
    finally:
        for node, domain in nodes:
            node.domain = domain
        if nodes:
            del model.opset_import[-1]


class PluginsDetached:
    """A model without its plugins and what depends on them, which can be put back."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take plugins away; ``model`` itself is not changed."""
        behind: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []
        plugins = {name for node in plugin_nodes(model) for name in node.output}
        for node in model.graph.node:
            if plugins.intersection(node.output) or reads(node) & behind:
                self._nodes.append(node)
                behind.update(node.output)
        self._outputs = list(model.graph.output)
        self._model = model
        self._behind = behind

    @property
    def model(self) -> onnx.ModelProto:
        """What is left; its outputs are what the plugins read."""
        if not self._nodes:
            return self._model
        onnx = import_onnx()
        rest = onnx.ModelProto()
        rest.CopyFrom(self._model)
        taken = {node.output[0] for node in self._nodes}
        nodes = [node for node in rest.graph.node if node.output[0] not in taken]
        del rest.graph.node[:]
        rest.graph.node.extend(nodes)
        kept = [info for info in self._outputs if info.name not in self._behind]
        made = {name for node in nodes for name in node.output}
        known = {info.name: info for info in self._model.graph.value_info}
        wanted = sorted(set().union(*(reads(node) for node in self._nodes)) & made)
        names = {info.name for info in kept}
        for name in wanted:
            if name not in names:
                info = known.get(name) or onnx.helper.make_tensor_value_info(
                    name, onnx.TensorProto.FLOAT, None
                )
                kept.append(info)
        del rest.graph.output[:]
        rest.graph.output.extend(kept)
        return rest

    def attach(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Put the plugins, and the first model's outputs, back behind a changed model."""
        if self._nodes:
            model.graph.node.extend(self._nodes)
            del model.graph.output[:]
            model.graph.output.extend(self._outputs)
            have = {tensor.name for tensor in model.graph.initializer}
            wanted = set().union(*(reads(node) for node in self._nodes)) - have
            model.graph.initializer.extend(
                tensor for tensor in self._model.graph.initializer if tensor.name in wanted
            )
        return model
