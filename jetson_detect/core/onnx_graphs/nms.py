"""Suppression taken out of a graph, or handed to TensorRT's plugin.

``NonMaxSuppression`` has outputs whose size depends on the picture.  TensorRT 8.5 and 8.6 parse it,
but often find no implementation for the graph around it.  Without it a network has plain outputs,
our own suppression follows on the CPU, and its thresholds can be changed while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from jetson_detect.core.heads import HEADS
from jetson_detect.core.heads.boxes import BoxFormat, BoxUnits
from jetson_detect.core.heads.detection_list import DetectionListHead
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.model import HeadSpec, ModelSpec, Thresholds
from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_onnx
from jetson_detect.core.onnx_graphs.nesting import all_nodes
from jetson_detect.core.onnx_graphs.nms_search import (
    Arrangement,
    Feed,
    find_feed,
    nms_nodes,
    nms_plugins,
)
from jetson_detect.core.onnx_graphs.probing import can_probe, probe
from jetson_detect.core.onnx_graphs.tidying import tidy

if TYPE_CHECKING:
    import onnx

PLUGIN = "EfficientNMS_TRT"
PLUGIN_OUTPUTS = ("num_detections", "detection_boxes", "detection_scores", "detection_classes")
_NORMALIZED_BELOW = 2.0
"""Half of all coordinates that go from 0 to 1 lie well below it, half of those in pixels above."""
_WRITERS = {"tf2onnx": BoxFormat.YXYX, "pytorch": BoxFormat.XYXY}
"""What corners come first, by the exporter's name: suppression itself does not tell."""


class NmsMode(str, Enum):
    """What becomes of suppression inside a graph."""

    AUTO = "auto"
    """It is cut out where it can be, and kept where not."""
    KEEP = "keep"
    """It stays."""
    CUT = "cut"
    """The network ends with the candidates; what was behind them is left out."""
    EFFICIENT_NMS = "efficient_nms"
    """TensorRT's plugin takes its place."""


@dataclass(frozen=True)
class NmsOptions:
    """What the graph alone does not tell."""

    num_classes: int
    """How many labels there are, without the background."""
    box_format: BoxFormat | None = None
    """Of the boxes that are suppressed; None: by who wrote the file, and ``center_point_box``."""
    box_units: BoxUnits | None = None
    """Of the boxes that are suppressed; None: by what a run with noise gives."""
    keep_outputs: tuple[str, ...] = ()
    """Outputs that are kept besides; suppression must not be behind them."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """For the plugin, which has them built in."""

    @classmethod
    def for_model(cls, model: ModelSpec) -> NmsOptions:
        """Take what a ``model.yaml`` tells: labels, thresholds, and how its boxes are written.

        Raises
        ------
        ModelError
            Naming an option of the head that is not known.

        """
        known = cls(num_classes=len(model.labels), thresholds=model.thresholds)
        head, options = HEADS.get(model.head.type), HeadOptions(model)
        if not isinstance(head, type) or not issubclass(head, DetectionListHead):
            return known
        return replace(
            known,
            box_format=options.choice("box_format", head.box_format),
            box_units=options.choice("box_units", head.box_units),
        )


@dataclass(frozen=True, eq=False)
class NmsResult:
    """A network whose suppression was treated."""

    model: onnx.ModelProto
    head: HeadSpec | None
    """How the new outputs become boxes; None where the outputs are the old ones."""
    changes: tuple[str, ...] = ()
    """What was done, in sentences."""


def treat_nms(model: onnx.ModelProto, mode: NmsMode, options: NmsOptions) -> NmsResult:
    """Treat the suppression inside a graph.

    Cut, the network's outputs are (1, N, 4) boxes and (1, N, C) scores of all candidates, for the
    head ``ssd`` with ``decoded: true``.  With TensorRT's plugin they are ``num_detections`` (1, 1)
    int32, ``detection_boxes`` (1, K, 4), ``detection_scores`` (1, K) and ``detection_classes``
    (1, K) int32, for the head ``efficient_nms``
    (https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin).  Either order of the
    corners does for the plugin, and it gives corners in any case.

    A box has one class then, its best: a graph that suppresses each class by itself may give the
    same box once for each class.

    Parameters
    ----------
    model:
        A network; the given one is not changed.
    mode:
        What to do.
    options:
        See :class:`NmsOptions`.

    Raises
    ------
    OnnxGraphError
        If the candidates are not found, or an output to keep depends on suppression.  With
        :attr:`NmsMode.AUTO` a graph without such candidates is left as it is.
    BackendUnavailableError
        If onnx or onnx-graphsurgeon is not installed.

    """
    nodes = nms_nodes(model)
    if mode is NmsMode.KEEP or not nodes:
        return NmsResult(model, None, tuple(_left_alone(model, nodes)))
    tidied = tidy(model)
    try:
        feed = find_feed(tidied, options.num_classes)
    except OnnxGraphError as error:
        if mode is not NmsMode.AUTO:
            raise
        return NmsResult(model, None, (f"The suppression was left in the graph: {error}.",))
    cut, names = _cut(tidied, feed, options.keep_outputs)
    box_format, format_reason = _box_format(tidied, feed, options)
    box_units, units_reason = _box_units(cut, names[0], options)
    changes = [
        _removed(tidied, cut, feed),
        f"The boxes are read as {box_format.value}, {format_reason}, and {box_units.value}, "
        f"{units_reason}.",
    ]
    head = HeadSpec(
        "ssd",
        {"boxes": names[0], "scores": names[1]},
        {
            "decoded": True,
            "activation": "none",
            "box_format": box_format.value,
            "box_units": box_units.value,
        },
    )
    if mode is NmsMode.EFFICIENT_NMS:
        cut, head, change = _append_plugin(cut, feed, names, head, options)
        changes.append(change)
    return NmsResult(cut, head, tuple(changes))


def _left_alone(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> Iterable[str]:
    if nodes:
        yield f"The suppression was kept as asked: {_names(nodes)}."
    plugins = nms_plugins(model)
    if plugins:
        yield f"TensorRT's own suppression is in the graph and was left alone: {_names(plugins)}."


def _cut(
    model: onnx.ModelProto, feed: Feed, keep_outputs: Sequence[str]
) -> tuple[onnx.ModelProto, tuple[str, str]]:
    """Make the candidates the network's outputs; return their names too."""
    onnx = import_onnx()
    old = {info.name: info for info in model.graph.output}
    unknown = sorted(set(keep_outputs) - set(old))
    if unknown:
        raise OnnxGraphError(
            f"there is no output '{unknown[0]}' to keep; the graph has {', '.join(old)}"
        )
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.graph.output[:]
    cut.graph.output.extend(old[name] for name in keep_outputs)
    taken = _tensor_names(model)
    names = _free_name("boxes", taken), _free_name("scores", taken)
    types = {info.name: info.type.tensor_type.elem_type for info in model.graph.value_info}
    for name, arrangement, width in zip(names, (feed.boxes, feed.scores), (4, feed.classes)):
        _append_arrangement(cut.graph, arrangement, name)
        dtype = types.get(arrangement.tensor, onnx.TensorProto.FLOAT)
        cut.graph.output.append(onnx.helper.make_tensor_value_info(name, dtype, [1, None, width]))
    cut = tidy(cut)
    left = nms_nodes(cut)
    if left:
        raise OnnxGraphError(
            f"an output of {', '.join(keep_outputs)} depends on the suppression "
            f"({left[0].name}) and cannot be kept; leave it out of keep_outputs"
        )
    return cut, names


def _append_arrangement(graph: onnx.GraphProto, arrangement: Arrangement, output: str) -> None:
    """Append the nodes that turn a tensor into the output (1, N, width)."""
    onnx = import_onnx()
    make_node = onnx.helper.make_node
    current = arrangement.tensor
    if arrangement.reshape is not None:
        shape = f"{output}/shape"
        graph.initializer.append(
            onnx.numpy_helper.from_array(np.array(arrangement.reshape, np.int64), shape)
        )
        reshaped = f"{output}/reshaped" if arrangement.transpose else output
        graph.node.append(
            make_node("Reshape", [current, shape], [reshaped], name=f"{output}/Reshape")
        )
        current = reshaped
    if arrangement.transpose:
        graph.node.append(
            make_node("Transpose", [current], [output], name=f"{output}/Transpose", perm=[0, 2, 1])
        )
    if not arrangement.nodes:
        graph.node.append(make_node("Identity", [current], [output], name=f"{output}/Identity"))


def _append_plugin(
    cut: onnx.ModelProto,
    feed: Feed,
    names: tuple[str, str],
    head: HeadSpec,
    options: NmsOptions,
) -> tuple[onnx.ModelProto, HeadSpec, str]:
    """Append TensorRT's plugin; return the model, its head and what was done."""
    onnx = import_onnx()
    has_background = feed.classes > options.num_classes
    is_center_form = head.options["box_format"] in _CORNERS
    outputs = [_free_name(name, _tensor_names(cut)) for name in PLUGIN_OUTPUTS]
    thresholds = options.thresholds
    # Without a domain, as NVIDIA's own exporters write it: the parser goes by the name alone.
    node = onnx.helper.make_node(
        PLUGIN,
        list(names),
        outputs,
        name="suppression",
        plugin_version="1",
        score_threshold=thresholds.score,
        iou_threshold=thresholds.iou,
        max_output_boxes=thresholds.max_detections,
        background_class=0 if has_background else -1,
        score_activation=0,
        box_coding=int(is_center_form),
    )
    cut.graph.node.append(node)
    kept = [info for info in cut.graph.output if info.name not in names]
    del cut.graph.output[:]
    cut.graph.output.extend(kept)
    most = thresholds.max_detections
    real, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
    for name, dtype, shape in zip(
        outputs, (whole, real, real, whole), ([1, 1], [1, most, 4], [1, most], [1, most])
    ):
        cut.graph.output.append(onnx.helper.make_tensor_value_info(name, dtype, shape))
    count, boxes, scores, classes = outputs
    box_format = head.options["box_format"]
    plugin_head = HeadSpec(
        "efficient_nms",
        {"boxes": boxes, "scores": scores, "classes": classes, "count": count},
        {
            "class_offset": int(has_background),
            "box_format": _CORNERS.get(box_format, box_format),
            "box_units": head.options["box_units"],
        },
    )
    change = (
        f"TensorRT's plugin {PLUGIN} (node '{node.name}') took its place: score threshold "
        f"{thresholds.score:g}, IoU threshold {thresholds.iou:g}, at most {most} boxes."
    )
    return tidy(cut), plugin_head, change


_CORNERS = {
    BoxFormat.CXCYWH.value: BoxFormat.XYXY.value,
    BoxFormat.CYCXHW.value: BoxFormat.YXYX.value,
}
"""What the plugin makes of centres and sizes."""


def _box_format(model: onnx.ModelProto, feed: Feed, options: NmsOptions) -> tuple[BoxFormat, str]:
    """Return what a box's four numbers are, and why."""
    given = options.box_format
    if given is not None and (given.value in _CORNERS) == feed.is_center_form:
        return given, "as given"
    if feed.is_center_form:
        return BoxFormat.CXCYWH, "by the node's center_point_box"
    written = _WRITERS.get(model.producer_name)
    if written is not None:
        return written, f"for {model.producer_name} wrote the file"
    if _is_channels_last(model):
        return BoxFormat.YXYX, "for the input has its channels last, as TensorFlow's have"
    return BoxFormat.XYXY, "for the input has its channels first, as PyTorch's have"


def _is_channels_last(model: onnx.ModelProto) -> bool:
    for info in model.graph.input:
        sizes = [size.dim_value for size in info.type.tensor_type.shape.dim]
        if len(sizes) == 4:
            return sizes[3] in (1, 3) and sizes[1] not in (1, 3)
    return False


def _box_units(cut: onnx.ModelProto, boxes: str, options: NmsOptions) -> tuple[BoxUnits, str]:
    """Return what the numbers count, and why."""
    if options.box_units is not None:
        return options.box_units, "as given"
    if not can_probe():
        raise OnnxGraphError(
            f"whether the boxes '{boxes}' are in pixels cannot be tried without ONNX Runtime: "
            "name box_units, or pip install onnxruntime"
        )
    typical = float(np.median([np.median(np.abs(run[boxes])) for run in probe(cut, [boxes])]))
    units = BoxUnits.NORMALIZED if typical < _NORMALIZED_BELOW else BoxUnits.PIXELS
    return units, f"for half of the coordinates in a test picture are below {typical:.3g}"


def _removed(model: onnx.ModelProto, cut: onnx.ModelProto, feed: Feed) -> str:
    left = {node.name for node in cut.graph.node}
    gone = [node for node in model.graph.node if node.name not in left]
    inside = sum(1 for _ in all_nodes(gone)) - len(gone)
    hidden = f" and the {inside} nodes inside of them" if inside else ""
    outputs = {info.name for info in cut.graph.output}
    ended = [info.name for info in model.graph.output if info.name not in outputs]
    return (
        f"The graph was cut before {_names(feed.nodes)}: it ends with the boxes "
        f"'{feed.boxes.tensor}' and the scores '{feed.scores.tensor}' of all {feed.candidates} "
        f"candidates in {feed.classes} classes. Removed: {_names(gone)}{hidden}, and the outputs "
        f"{', '.join(ended)}."
    )


def _names(nodes: Iterable[onnx.NodeProto]) -> str:
    """List nodes by operation."""
    by_type: dict[str, list[str]] = {}
    for node in nodes:
        by_type.setdefault(node.op_type, []).append(node.name)
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in sorted(by_type.items()))


def _tensor_names(model: onnx.ModelProto) -> set[str]:
    names = {info.name for info in [*model.graph.input, *model.graph.output]}
    names.update(tensor.name for tensor in model.graph.initializer)
    for node in all_nodes(model.graph.node):
        names.update(node.input)
        names.update(node.output)
    return names


def _free_name(name: str, taken: set[str]) -> str:
    """Return the name, with a number behind it where it is taken."""
    free, number = name, 1
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
