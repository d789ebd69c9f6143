"""Upsampling that is spelt out as repeated pixels, written as what it is.

Keras' ``UpSampling2D`` and ``tf.repeat`` come out of their exporters as ``Unsqueeze``, ``Tile``,
``Transpose`` and ``Reshape``: eight nodes that each move the whole map, where one will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.onnx_graphs.libraries import import_onnx
from jetson_detect.core.onnx_graphs.tidying import tidy

if TYPE_CHECKING:
    import onnx

_MOVING = ("Unsqueeze", "Squeeze", "Tile", "Expand", "Transpose", "Reshape", "Identity")
"""What moves or repeats numbers, whatever they are."""
_REPEATING = ("Tile", "Expand")
_LARGEST = 1 << 24
"""So many integers float32 tells apart, and so many numbers a chain is tried on."""
_FIRST_RESIZE = 13
"""The opset from which on Resize has the inputs and attributes that are written here."""
_NCHW, _NHWC = (2, 3), (1, 2)
"""Where height and width are."""


@dataclass(frozen=True, eq=False)
class RestoredUpsampling:
    """A network without upsampling that is spelt out."""

    model: onnx.ModelProto
    changes: tuple[str, ...]
    """What was done, in sentences."""


@dataclass(frozen=True)
class _Upsampling:
    """What a chain of nodes comes to."""

    nodes: Sequence[Any]
    scales: tuple[int, int]
    """Of height and width."""
    source: tuple[int, int]
    target: tuple[int, int]


def restore_upsampling(model: onnx.ModelProto) -> RestoredUpsampling:
    """Replace chains of nodes that repeat each pixel of a picture by a ``Resize``.

    A chain is run on numbered pixels, and only replaced where each of them comes out as a nearest
    neighbour upsampling by whole numbers would have it.  Chains of open shapes are left.

    Parameters
    ----------
    model:
        A tidy network (:func:`.tidying.tidy`); the given one is not changed.

    Raises
    ------
    BackendUnavailableError
        If onnx or onnx-graphsurgeon is not installed.

    """
    onnx = import_onnx()
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not any(
        entry.domain == "" and entry.version >= _FIRST_RESIZE for entry in model.opset_import
    ):
        return RestoredUpsampling(changed, ())
    graph = changed.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    shapes = _shapes(graph)
    changes = []
    for chain in list(_chains(graph, weights)):
        found = _longest_upsampling(onnx, changed, chain, weights, shapes)
        if found is None:
            continue
        _replace(onnx, graph, found)
        first, last = found.nodes[0], found.nodes[-1]
        changes.append(
            f"Repeated pixels, {len(found.nodes)} nodes from {first.op_type} '{first.name}' to "
            f"{last.op_type} '{last.name}', became one Resize by {found.scales[0]} x "
            f"{found.scales[1]}."
        )
    return RestoredUpsampling(tidy(changed) if changes else changed, tuple(changes))


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that are fixed, by tensor."""
    shapes = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        sizes = [size.dim_value for size in info.type.tensor_type.shape.dim]
        if sizes and all(sizes):
            shapes[info.name] = tuple(sizes)
    return shapes


def _chains(graph: onnx.GraphProto, weights: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield nodes in a row that move numbers, each the only reader of the one before."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    ends = {info.name for info in graph.output}
    taken: set[str] = set()
    for node in graph.node:
        if not _moves(node, weights) or node.output[0] in taken:
            continue
        chain = [node]
        while True:
            name = chain[-1].output[0]
            following = readers.get(name, [])
            if name in ends or len(following) != 1 or not _moves(following[0], weights):
                break
            chain.append(following[0])
        taken.update(each.output[0] for each in chain)
        yield chain


def _moves(node: Any, weights: dict[str, Any]) -> bool:
    return node.op_type in _MOVING and all(name in weights for name in node.input[1:] if name)


def _longest_upsampling(
    onnx: Any,
    model: Any,
    chain: Sequence[Any],
    weights: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
) -> _Upsampling | None:
    """Return the longest part of a chain that is an upsampling."""
    parts = [
        chain[start:end]
        for start in range(len(chain))
        for end in range(start + 1, len(chain) + 1)
        if any(node.op_type in _REPEATING for node in chain[start:end])
    ]
    for nodes in sorted(parts, key=len, reverse=True):
        before, after = shapes.get(nodes[0].input[0]), shapes.get(nodes[-1].output[0])
        if before is None or after is None or len(before) != 4 or len(after) != 4:
            continue
        if int(np.prod(after)) > _LARGEST:
            continue
        numbers = np.arange(np.prod(before), dtype=np.float32).reshape(before)
        found = _recognise(nodes, numbers, _run(onnx, model, nodes, weights, numbers))
        if found is not None:
            return found
    return None


def _run(
    onnx: Any,
    model: Any,
    nodes: Sequence[Any],
    weights: dict[str, Any],
    numbers: NDArray[np.float32],
) -> NDArray[np.float32]:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    needed = {name for node in nodes for name in node.input[1:] if name}
    name, end = nodes[0].input[0], nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info(name, kind, numbers.shape)],
        [helper.make_tensor_value_info(end, kind, None)],
        [weights[each] for each in needed],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import)
    from onnx.reference import ReferenceEvaluator

    (result,) = ReferenceEvaluator(alone).run(None, {name: numbers})
    return np.asarray(result, np.float32)


def _recognise(
    nodes: Sequence[Any], before: NDArray[np.float32], after: NDArray[np.float32]
) -> _Upsampling | None:
    for source in (_NCHW, _NHWC):
        for target in (_NCHW, _NHWC):
            sizes = [
                (before.shape[here], after.shape[there]) for here, there in zip(source, target)
            ]
            if any(there % here for here, there in sizes):
                continue
            scales = tuple(there // here for here, there in sizes)
            expected = before
            for axis, scale in zip(source, scales):
                expected = expected.repeat(scale, axis)
            if source != target:
                expected = expected.transpose((0, 2, 3, 1) if source == _NCHW else (0, 3, 1, 2))
            if max(scales) > 1 and np.array_equal(expected, after):
                return _Upsampling(nodes, (scales[0], scales[1]), source, target)
    return None


def _replace(onnx: Any, graph: Any, found: _Upsampling) -> None:
    name, end = found.nodes[0].input[0], found.nodes[-1].output[0]
    base = f"{found.nodes[0].name or end}_upsampled"
    scales = np.array([1, 1, *found.scales], np.float32)
    graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{base}_scales"))
    made = []
    if found.source == _NHWC:
        made.append(onnx.helper.make_node("Transpose", [name], [f"{base}_in"], perm=[0, 3, 1, 2]))
        name = f"{base}_in"
    resized = end if found.target == _NCHW else f"{base}_out"
    made.append(
        onnx.helper.make_node(
            "Resize",
            [name, "", f"{base}_scales"],
            [resized],
            base,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    )
    if found.target == _NHWC:
        made.append(onnx.helper.make_node("Transpose", [resized], [end], perm=[0, 2, 3, 1]))
    position = next(index for index, node in enumerate(graph.node) if node.output[:1] == [end])
    for offset, node in enumerate(made):
        graph.node.insert(position + 1 + offset, node)
    for node in found.nodes:
        graph.node.remove(node)
