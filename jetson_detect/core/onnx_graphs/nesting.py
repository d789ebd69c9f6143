"""Graphs inside graphs: the bodies of ``Loop``, ``Scan`` and ``If``, and who makes which tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_GRAPH, _GRAPHS = 5, 10
"""``onnx.AttributeProto.GRAPH`` and ``GRAPHS``."""
_DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class Scope:
    """One graph: the network's own, or a body inside it."""

    graph: onnx.GraphProto
    parent: Scope | None = None
    owner: onnx.NodeProto | None = None
    """The node that this graph is a body of."""

    @property
    def is_main(self) -> bool:
        """Whether it is the network's own graph."""
        return self.parent is None


@dataclass(frozen=True, eq=False)
class Producer:
    """The node that makes a tensor."""

    node: onnx.NodeProto
    output: int
    scope: Scope


class TensorMap:
    """Who makes and who reads each tensor of a model, bodies included."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Walk through the model once."""
        self.main = Scope(model.graph)
        self.scopes = list(_scopes(self.main))
        self._producers = {
            (id(scope), name): Producer(node, index, scope)
            for scope in self.scopes
            for node in scope.graph.node
            for index, name in enumerate(node.output)
            if name
        }
        self._consumers: dict[tuple[int, str], list[onnx.NodeProto]] = {}
        for scope in self.scopes:
            for node in scope.graph.node:
                for name in node.input:
                    self._consumers.setdefault((id(scope), name), []).append(node)
        self._constants = {
            (id(scope), tensor.name) for scope in self.scopes for tensor in scope.graph.initializer
        }
        self._body_inputs = {
            (id(scope), info.name): index
            for scope in self.scopes
            if not scope.is_main
            for index, info in enumerate(scope.graph.input)
        }

    def home(self, name: str, scope: Scope) -> Scope:
        """Return the graph in which a name that is used in ``scope`` is defined."""
        current: Scope | None = scope
        while current is not None and not current.is_main:
            key = (id(current), name)
            if key in self._producers or key in self._constants or key in self._body_inputs:
                return current
            current = current.parent
        return self.main

    def producer(self, name: str, scope: Scope) -> Producer | None:
        """Return the node behind a name that is used in ``scope``; None for inputs and weights."""
        return self._producers.get((id(self.home(name, scope)), name))

    def consumers(self, name: str, scope: Scope) -> list[onnx.NodeProto]:
        """Return the nodes of ``scope`` itself that read a tensor."""
        return self._consumers.get((id(scope), name), [])

    def is_constant(self, name: str, scope: Scope) -> bool:
        """Whether a tensor is a weight, or made by a ``Constant`` node."""
        producer = self.producer(name, scope)
        if producer is not None:
            return bool(producer.node.op_type == "Constant")
        return (id(self.home(name, scope)), name) in self._constants

    def outside(self, name: str, scope: Scope) -> tuple[str, Scope] | None:
        """Follow an input of a loop's body that no iteration changes to its value outside."""
        home = self.home(name, scope)
        index = self._body_inputs.get((id(home), name))
        if index is None or home.owner is None or home.parent is None:
            return None
        if home.owner.op_type != "Loop" or index < 2:
            return None
        # Body: iteration, condition, values; its outputs: condition, values.
        after = home.graph.output[index - 1].name
        while after != name:
            producer = self._producers.get((id(home), after))
            if producer is None or producer.node.op_type != "Identity":
                return None
            after = producer.node.input[0]
        return home.owner.input[index], home.parent


def _scopes(scope: Scope) -> Iterator[Scope]:
    yield scope
    for node in scope.graph.node:
        for body in bodies(node):
            yield from _scopes(Scope(body, scope, node))


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node."""
    found: list[onnx.GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == _GRAPH:
            found.append(attribute.g)
        elif attribute.type == _GRAPHS:
            found.extend(attribute.graphs)
    return found


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Go through nodes and the nodes of the graphs inside them."""
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from all_nodes(body.node)


def reads(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that a node or a graph inside it reads; also names known only inside."""
    return {name for each in all_nodes([node]) for name in each.input if name}


def ancestors(graph: onnx.GraphProto, tensors: Iterable[str]) -> list[onnx.NodeProto]:
    """Return the nodes of a graph, in its order, that tensors depend on."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    nodes = list(graph.node)
    waiting, found = list(tensors), set()
    while waiting:
        index = makers.get(waiting.pop())
        if index is not None and index not in found:
            found.add(index)
            waiting.extend(reads(nodes[index]))
    return [nodes[index] for index in sorted(found)]


def is_onnx(node: onnx.NodeProto) -> bool:
    """Whether a node is in ONNX's own domain, under either of its names."""
    return node.domain in _DEFAULT_DOMAINS
