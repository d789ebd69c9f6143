"""Dropout that drops nothing, and still draws random numbers for each inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bypass_dropout(tf: Any, graph: Any) -> int:
    """Have what dropout multiplies or selects by pass as it is, in place.

    Only where the probability to keep a value is a constant of at least 1: with random numbers
    from 0 up to, but without, 1, ``random >= 0`` holds always (TensorFlow 2's dropout), and
    ``floor(1 + random)`` is 1 (TensorFlow 1's).

    Parameters
    ----------
    tf:
        The library.
    graph:
        A ``GraphDef`` with its constants folded.

    Returns
    -------
    How many there were.

    """
    nodes = {node.name: node for node in graph.node}
    count = 0
    for node in graph.node:
        kept = _kept(tf, node, nodes)
        if kept is None:
            continue
        kind = node.attr["T"].type
        node.op = "Identity"
        node.input[:] = [kept]
        node.attr.clear()
        node.attr["T"].type = kind
        count += 1
    return count


def _kept(tf: Any, node: Any, nodes: Mapping[str, Any]) -> str | None:
    """Return the tensor that a node always lets pass; None if it is no such node."""
    if node.op in ("Select", "SelectV2"):
        condition = nodes.get(node.input[0])
        if condition is not None and condition.op == "Cast":
            condition = nodes.get(condition.input[0])
        return str(node.input[1]) if _always(tf, condition, nodes) else None
    if node.op == "Mul":
        for mask, value in (node.input, reversed(node.input)):
            if _is_one(tf, nodes.get(mask), nodes):
                return str(value)
    return None


def _always(tf: Any, node: Any, nodes: Mapping[str, Any]) -> bool:
    """Whether a node compares random numbers with what they always reach."""
    if node is None or node.op != "GreaterEqual" or not _is_random(node.input[0], nodes):
        return False
    limit = _constant(tf, node.input[1], nodes)
    return limit is not None and bool((limit <= 0).all())


def _is_one(tf: Any, node: Any, nodes: Mapping[str, Any]) -> bool:
    """Whether a node is the mask that dropout multiplies with, and keeps everything."""
    if node is not None and node.op == "Cast":
        return _always(tf, nodes.get(node.input[0]), nodes)
    if node is None or node.op != "Floor":
        return False
    total = nodes.get(node.input[0])
    if total is None or total.op not in ("Add", "AddV2"):
        return False
    for random, keep in (total.input, reversed(total.input)):
        probability = _constant(tf, keep, nodes)
        if _is_random(random, nodes) and probability is not None:
            return bool((probability == 1).all())
    return False


def _is_random(name: str, nodes: Mapping[str, Any]) -> bool:
    return name in nodes and nodes[name].op in ("RandomUniform", "StatelessRandomUniformV2")


def _constant(tf: Any, name: str, nodes: Mapping[str, Any]) -> Any:
    node = nodes.get(name)
    if node is None or node.op != "Const":
        return None
    return tf.make_ndarray(node.attr["value"].tensor)
