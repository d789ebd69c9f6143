"""Finds suppression in a graph, and the tensors with every candidate that feed it.

What stands right before a ``NonMaxSuppression`` node is seldom what a decoder can use: TensorFlow's
Object Detection API has a node for each class, inside a loop over the batch, each fed by a slice
of the scores; PyTorch has thrown away what scores little, kept only the best class, and moved the
boxes of each class apart.  So the search climbs from the node towards the inputs, past all that
only selects or rearranges, and takes the nearest pair of tensors of the main graph that holds the
boxes and the scores of all classes of the same candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.nesting import Scope, TensorMap, all_nodes, ancestors, reads
from jetson_detect.core.onnx_graphs.probing import can_probe, probe

if TYPE_CHECKING:
    import onnx

NMS = "NonMaxSuppression"
PLUGINS = (
    "EfficientNMS_TRT",
    "EfficientNMS_ONNX_TRT",
    "EfficientNMS_Explicit_TF_TRT",
    "EfficientNMS_Implicit_TF_TRT",
    "BatchedNMS_TRT",
    "BatchedNMSDynamic_TRT",
    "NMS_TRT",
    "NMSDynamic_TRT",
)
"""TensorRT's own suppression."""

_LAYOUT = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose")
"""What keeps all numbers."""
_SELECTION = ("Slice", "Gather", "GatherND", "GatherElements", "Split", "Compress", "Expand")
"""What keeps some of them, from the first input."""
_BEST_CLASS = ("TopK", "ReduceMax")
_CLIPPING = ("Where", "Min", "Max", "Clip", "Mul")
"""With a constant, or a mask: they change numbers that do not matter."""

Shape = tuple["int | None", ...]


@dataclass(frozen=True)
class Arrangement:
    """How a tensor becomes (1, N, width), in this order."""

    tensor: str
    reshape: tuple[int, ...] | None = None
    transpose: bool = False
    """The last two axes change places."""

    @property
    def nodes(self) -> int:
        """How many nodes that takes."""
        return (self.reshape is not None) + self.transpose


@dataclass(frozen=True, eq=False)
class Feed:
    """The candidates that suppression chooses from."""

    boxes: Arrangement
    """(1, N, 4)."""
    scores: Arrangement
    """(1, N, C)."""
    candidates: int
    """N; at another size of the input perhaps another."""
    classes: int
    """C: the labels, or one more where the background is the first."""
    nodes: tuple[onnx.NodeProto, ...]
    """The nodes that suppress."""
    is_center_form: bool
    """Whether boxes are centre and size; else they are two corners."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A tensor on the way up."""

    name: str
    scope: Scope
    steps: int
    """How many nodes below it select; those that only rearrange do not count."""


@dataclass(frozen=True)
class _Want:
    """What a way up is for."""

    boxes: bool


def nms_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the ``NonMaxSuppression`` nodes, those inside of loops too."""
    return [node for node in all_nodes(model.graph.node) if node.op_type == NMS]


def nms_plugins(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that are TensorRT's own suppression."""
    return [node for node in all_nodes(model.graph.node) if node.op_type in PLUGINS]


def find_feed(model: onnx.ModelProto, num_classes: int) -> Feed:
    """Find the boxes and scores of all candidates.

    Parameters
    ----------
    model:
        Tidy, with ``NonMaxSuppression`` inside.
    num_classes:
        How many labels there are.

    Raises
    ------
    OnnxGraphError
        If there is no such pair: the message lists what was seen.

    """
    tensors = TensorMap(model)
    nodes = [
        (node, scope)
        for scope in tensors.scopes
        for node in scope.graph.node
        if node.op_type == NMS
    ]
    _require_one_stage(model)
    ranks = {name: len(shape) for name, shape in _known_shapes(model).items()}
    climber = _Climber(tensors, ranks)
    scores = _common(
        [climber.climb(node.input[1], scope, _Want(boxes=False)) for node, scope in nodes]
    )
    ways = _box_ways(climber, nodes)
    found = _best_pair(ways, scores, _known_shapes(model), num_classes)
    if found is None and can_probe():
        found = _best_pair(ways, scores, _probed_shapes(model, [*ways, scores]), num_classes)
    if found is None:
        raise OnnxGraphError(_nothing_found(model, nodes, ways, scores, num_classes))
    boxes, best, count, classes = found
    return Feed(
        boxes,
        best,
        count,
        classes,
        tuple(node for node, _ in nodes),
        any(
            attribute.name == "center_point_box" and attribute.i == 1
            for node, _ in nodes
            for attribute in node.attribute
        ),
    )


def _require_one_stage(model: onnx.ModelProto) -> None:
    """Refuse networks whose candidates come out of another suppression."""
    for last in model.graph.node:
        if not any(node.op_type == NMS for node in all_nodes([last])):
            continue
        for node in all_nodes(ancestors(model.graph, reads(last))):
            if node.op_type == NMS:
                raise OnnxGraphError(
                    f"what '{last.name}' suppresses depends on an earlier suppression "
                    f"({node.name}): a network of two stages cannot be cut; keep its suppression "
                    "(nms: keep)"
                )


def _box_ways(
    climber: _Climber, nodes: Sequence[tuple[onnx.NodeProto, Scope]]
) -> list[list[_Place]]:
    """Return the ways up for boxes, the better ones first.

    Where suppression looks at other boxes than those that come out, as where boxes of different
    classes were moved apart, the ones that its answer indexes are the real ones.
    """
    want = _Want(boxes=True)
    direct = [climber.climb(node.input[0], scope, want) for node, scope in nodes]
    through = _common(direct)
    indexed = [
        _common([climber.climb(name, scope, want)])
        for node, scope in nodes
        for name in climber.indexed_by(node, scope)
    ]
    names = {place.name for way in direct for place in way}
    if any(place.name in names for way in indexed for place in way):
        return [through]
    return [*indexed, through]


class _Climber:
    """Climbs from a tensor towards the network's inputs."""

    def __init__(self, tensors: TensorMap, ranks: Mapping[str, int]) -> None:
        self._tensors = tensors
        self._ranks = ranks

    def climb(self, name: str, scope: Scope, want: _Want) -> list[_Place]:
        """Return the tensors on the way, nearest first, until something new is computed."""
        places: list[_Place] = []
        steps = 0
        while True:
            outside = self._tensors.outside(name, scope)
            if outside is not None:
                name, scope = outside
                continue
            places.append(_Place(name, self._tensors.home(name, scope), steps))
            producer = self._tensors.producer(name, scope)
            if producer is None:
                return places
            node, scope = producer.node, producer.scope
            steps += node.op_type not in _LAYOUT
            if node.op_type == "Concat" and not (want.boxes and _attribute(node, "axis", 0)):
                ways = [self.climb(each, scope, want) for each in node.input]
                places += [_Place(p.name, p.scope, p.steps + steps) for p in _common(ways)]
                return places
            above = self._data_input(node, producer.output, scope, want)
            if above is None:
                return places
            name = above

    def _data_input(
        self, node: onnx.NodeProto, output: int, scope: Scope, want: _Want
    ) -> str | None:
        """Return the input that a node only selects from or rearranges; None if there is none."""
        first: str = node.input[0] if node.input else ""
        if node.op_type in _LAYOUT:
            return first
        if node.op_type in _SELECTION:
            return None if want.boxes and self._may_reorder(node) else first
        if node.op_type in _BEST_CLASS and not want.boxes and output == 0:
            return first
        if node.op_type == "Clip":
            return first
        if node.op_type in _CLIPPING and not (want.boxes and node.op_type == "Mul"):
            candidates = node.input[1:] if node.op_type == "Where" else node.input
            left = [name for name in candidates if not self._is_neutral(name, scope, node.op_type)]
            return left[0] if len(left) == 1 else None
        return None

    def _is_neutral(self, name: str, scope: Scope, operation: str) -> bool:
        """Whether an operand is a constant, or a mask that scores are multiplied with."""
        if operation != "Mul":
            return self._tensors.is_constant(name, scope)
        producer = self._tensors.producer(name, scope)
        if producer is None or producer.node.op_type != "Cast":
            return False
        test = self._tensors.producer(producer.node.input[0], producer.scope)
        return test is not None and test.node.op_type.startswith(("Greater", "Less", "Not", "And"))

    def _may_reorder(self, node: onnx.NodeProto) -> bool:
        """Whether a node may change the order of a box's four numbers."""
        if node.op_type == "GatherElements":
            return True
        if node.op_type != "Gather":
            return False
        axis, rank = _attribute(node, "axis", 0), self._ranks.get(node.input[0])
        return axis != 0 and (rank is None or axis % rank == rank - 1)

    def indexed_by(self, nms: onnx.NodeProto, scope: Scope) -> list[str]:
        """Return the tensors of the same graph that rows are taken from by a node's answer."""
        behind = {nms.output[0]}
        found: list[str] = []
        waiting = list(behind)
        while waiting:
            for node in self._tensors.consumers(waiting.pop(), scope):
                if node.op_type in ("Gather", "GatherND") and node.input[0] not in behind:
                    found.append(node.input[0])
                elif node.op_type in (*_LAYOUT, *_SELECTION, "Concat"):
                    fresh = set(node.output) - behind
                    behind |= fresh
                    waiting.extend(fresh)
        return found


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(each.i) for each in node.attribute if each.name == name), default)


def _common(ways: Sequence[list[_Place]]) -> list[_Place]:
    """Return what several ways up have in common, nearest first."""
    if not ways:
        return []
    keys = [{(place.name, id(place.scope)): place.steps for place in way} for way in ways]
    return [
        _Place(place.name, place.scope, max(steps[place.name, id(place.scope)] for steps in keys))
        for place in ways[0]
        if all((place.name, id(place.scope)) in steps for steps in keys)
    ]


def _best_pair(
    ways: Iterable[list[_Place]],
    scores: Sequence[_Place],
    shapes: Mapping[str, Shape],
    num_classes: int,
) -> tuple[Arrangement, Arrangement, int, int] | None:
    """Return boxes, scores, N and C of the nearest pair, on the first way that has one."""
    for way in ways:
        pairs = [
            ((box.steps + score.steps, boxes.nodes + best.nodes, classes), rank, found)
            for rank, (box, score) in enumerate(
                (box, score) for box in _in_main(way, shapes) for score in _in_main(scores, shapes)
            )
            for count in _rows_of_boxes(shapes[box.name])
            for boxes in _arrange(box.name, shapes[box.name], count, 4)
            for classes in (num_classes, num_classes + 1)
            for best in _arrange(score.name, shapes[score.name], count, classes)
            for found in [(boxes, best, count, classes)]
        ]
        if pairs:
            return min(pairs, key=lambda pair: pair[:2])[2]
    return None


def _in_main(places: Iterable[_Place], shapes: Mapping[str, Shape]) -> list[_Place]:
    return [place for place in places if place.scope.is_main and place.name in shapes]


def _core(shape: Shape) -> Shape:
    """Leave out the batch, open as it may be, and all that is 1."""
    inner = shape[1:] if len(shape) > 2 and shape[0] in (None, 1) else shape
    return tuple(size for size in inner if size != 1)


def _rows_of_boxes(shape: Shape) -> list[int]:
    core = _core(shape)
    if core == (4,):
        return [1]
    if len(core) != 2 or 4 not in core:
        return []
    rows = core[0] if core[1] == 4 else core[1]
    return [rows] if rows is not None else []


def _arrange(tensor: str, shape: Shape, count: int, width: int) -> Iterator[Arrangement]:
    """Yield the way in which a tensor is a table of ``count`` rows, if it is one."""
    rows_first = tuple(size for size in (count, width) if size != 1)
    has_batch = len(shape) == 3 and shape[0] in (None, 1)
    if _core(shape) == rows_first:
        as_it_is = has_batch and shape[1:] == (count, width)
        yield Arrangement(tensor, None if as_it_is else (1, -1, width))
    elif _core(shape) == rows_first[::-1]:
        as_it_is = has_batch and shape[1:] == (width, count)
        yield Arrangement(tensor, None if as_it_is else (1, width, -1), transpose=True)


def _known_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return the inferred shapes of the main graph's tensors."""
    graph = model.graph
    shapes: dict[str, Shape] = {}
    for info in [*graph.value_info, *graph.input, *graph.output]:
        tensor = info.type.tensor_type
        if tensor.HasField("shape"):
            shapes[info.name] = tuple(
                size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim
            )
    return shapes


def _probed_shapes(model: onnx.ModelProto, ways: Iterable[list[_Place]]) -> dict[str, Shape]:
    """Return the shapes that tensors have for two different pictures alike."""
    names = list({place.name: None for way in ways for place in way if place.scope.is_main})
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [name for name in names if name not in weights]
    if not names:
        return {}
    first, second = probe(model, names)
    return {
        name: tuple(first[name].shape)
        for name in first
        if first[name].shape == second[name].shape and first[name].size
    }


def _nothing_found(
    model: onnx.ModelProto,
    nodes: Sequence[tuple[onnx.NodeProto, Scope]],
    ways: Iterable[list[_Place]],
    scores: Iterable[_Place],
    num_classes: int,
) -> str:
    shapes: Mapping[str, Any] = _known_shapes(model)

    def seen(places: Iterable[_Place]) -> str:
        texts = [f"'{p.name}' {shapes.get(p.name, '')}" for p in places if p.scope.is_main]
        return ", ".join(texts) or "nothing outside of loops"

    boxes = [place for way in ways for place in way]
    return (
        f"before {len(nodes)} {NMS} node(s), the first '{nodes[0][0].name}', no tensors hold the "
        f"boxes (1, N, 4) and the scores (1, N, {num_classes}) or (1, N, {num_classes + 1}) of "
        f"the same N candidates: for boxes there is {seen(boxes)}; for scores {seen(scores)}; "
        "correct the labels if their number is wrong, or keep the suppression (nms: keep)"
    )
