"""Which head fits a network's outputs, by their names and shapes: ``head: {type: auto}``.

Names decide where exporters give telling ones; else shapes and the number of labels do.  Where
several kinds of network fit, the error names them all.  Some rules are choices:

- (1, N, 5 + labels) is YOLOX where N is the number of its cells, and not decoded, as YOLOX exports
  it by default; it is YOLOv5 where N is three times as much;
- boxes of YOLOv8 are normalized where the output has a name that TensorFlow's converters give, as
  Ultralytics' exporter makes them so for TensorFlow and TensorFlow Lite;
- integer classes beside ``detection_boxes`` come from EfficientNMS, real ones from the TensorFlow
  Object Detection API; ``nmsed_boxes``, of BatchedNMS, are normalized, the default of that plugin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads import HEADS, efficientdet, yolov5, yolox
from jetson_detect.core.heads.anchors import grid_sizes
from jetson_detect.core.heads.parts import Pattern, fits
from jetson_detect.core.heads.ssd import count_default_anchors
from jetson_detect.core.model import AUTO_HEAD, HeadSpec, ModelSpec

Shape = tuple["int | None", ...]

_MAX_QUERIES = 1000
"""What has more rows is no list of detections or queries."""
_END_TO_END_COLUMNS = (6, 7)
_YOLO_STRIDES = (yolox.STRIDES, (*yolox.STRIDES, 64.0), (4.0, *yolox.STRIDES))
"""Of the usual grids, of those for large inputs and of those for small objects."""
_TENSORFLOW_NAME = re.compile(r"^(Stateful)?PartitionedCall|^Identity|^output_\d+$")
_POSTPROCESS_ORDERS: Mapping[str, tuple[str, ...]] = {
    r"^TFLite_Detection_PostProcess(?::([0-3]))?$": ("boxes", "classes", "scores", "count"),
    # TensorFlow 2 sorts the operation's outputs by their names.
    r"^(?:StatefulPartitionedCall:|output_)([0-3])$": ("count", "scores", "classes", "boxes"),
}
"""What the outputs with the numbers 0 to 3 are, by how they are called."""


class HeadProposalError(ValueError):
    """Outputs that fit no head, or several."""


@dataclass(frozen=True, eq=False)
class _Network:
    """What is known about a network from outside."""

    outputs: tuple[TensorInfo, ...]
    input_size: tuple[int, int]
    labels: int | None

    def __str__(self) -> str:
        outputs = ", ".join(
            f"'{info.name}' ({', '.join('?' if n is None else str(n) for n in info.shape)}) "
            f"{info.dtype}"
            for info in self.outputs
        )
        width, height = self.input_size
        labels = "an unknown number of" if self.labels is None else self.labels
        return f"outputs {outputs}; input {width}x{height}; {labels} labels"

    @property
    def shapes(self) -> list[Shape]:
        return [tuple(info.shape) for info in self.outputs]

    def columns(self, beside_scores: int) -> int | str:
        """How many columns there are with a score for each label; any number if unknown."""
        return "C" if self.labels is None else self.labels + beside_scores

    def has_cells(self, count: int | None, per_cell: int = 1) -> bool:
        """Whether grids with YOLO's strides have so many cells; true if it is not known."""
        return count is None or any(
            count == per_cell * _cells(self.input_size, strides) for strides in _YOLO_STRIDES
        )

    def by_alias(self, aliases: Mapping[str, Sequence[str]]) -> dict[str, TensorInfo]:
        """Outputs by part, where one of the part's aliases is an output's name."""
        plain = {_plain(info.name): info for info in self.outputs}
        return {
            part: next(plain[alias] for alias in names if alias in plain)
            for part, names in aliases.items()
            if any(alias in plain for alias in names)
        }


Rule = Callable[[_Network], "list[HeadSpec]"]


def propose_head(
    outputs: Sequence[TensorInfo], input_size: tuple[int, int], labels: int | None
) -> HeadSpec:
    """Propose the head for a network.

    Parameters
    ----------
    outputs:
        All outputs of the network.
    input_size:
        Width and height of its input.
    labels:
        How many classes it has; None if that is not known.

    Returns
    -------
    The head's type, all the outputs that it needs by part, and options that differ from defaults.

    Raises
    ------
    HeadProposalError
        If no head fits, or more than one; it lists what was seen.

    """
    network = _Network(tuple(outputs), input_size, labels)
    for rules in (_NAME_RULES, _SHAPE_RULES):
        proposals = [spec for rule in rules for spec in rule(network)]
        if len(proposals) > 1:
            options = " or ".join(head_as_yaml(spec) for spec in proposals)
            raise HeadProposalError(f"several heads fit the {network}: {options}")
        if proposals:
            return proposals[0]
    raise HeadProposalError(f"no head fits the {network}; known are {', '.join(sorted(HEADS))}")


def resolve_head(model: ModelSpec, outputs: Sequence[TensorInfo]) -> HeadSpec:
    """Return a model's head, proposed where its type is ``auto``.

    What ``model.yaml`` says beside the type goes before what is proposed.

    Raises
    ------
    ModelError
        If no single head fits.

    """
    if model.head.type != AUTO_HEAD:
        return model.head
    try:
        proposed = propose_head(outputs, (model.input.width, model.input.height), len(model.labels))
    except HeadProposalError as error:
        raise model.error(
            "head.type", str(error), "write head.type and head.outputs instead of auto"
        ) from error
    return replace(
        proposed,
        outputs={**proposed.outputs, **model.head.outputs},
        options={**proposed.options, **model.head.options},
    )


def head_as_yaml(spec: HeadSpec) -> str:
    """Write a head as a line of ``model.yaml``."""
    entry = {"type": spec.type, "outputs": dict(spec.outputs), **spec.options}
    flow = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=float("inf"))
    return f"head: {flow.strip()}"


def _spec(kind: str, parts: Mapping[str, TensorInfo], **options: Any) -> HeadSpec:
    return HeadSpec(kind, {part: info.name for part, info in parts.items()}, options)


def _plain(name: str) -> str:
    """A name without TensorFlow's scope and output number, in lower case."""
    return name.rsplit("/", 1)[-1].split(":")[0].lower()


def _cells(input_size: tuple[int, int], strides: Sequence[float]) -> int:
    return sum(rows * columns for rows, columns in grid_sizes(input_size, strides))


def _may_be(info: TensorInfo, *patterns: Pattern) -> bool:
    return not info.shape or any(fits(info.shape, pattern) for pattern in patterns)


# -- by name ---------------------------------------------------------------------------------------


def _detection_lists(network: _Network) -> list[HeadSpec]:
    for boxes in ("detection_boxes", "det_boxes", "nmsed_boxes"):
        prefix = boxes[: -len("boxes")]
        parts = network.by_alias(
            {
                "boxes": [boxes],
                "scores": [f"{prefix}scores"],
                "classes": [f"{prefix}classes"],
                "count": ["num_detections", "num_dets"],
            }
        )
        if len(parts) < 4 or not _may_be(parts["boxes"], (1, "N", 4)):
            continue
        if boxes == "nmsed_boxes":
            return [_spec("efficient_nms", parts, box_units="normalized")]
        is_plugin = boxes == "det_boxes" or parts["classes"].dtype.kind in "iu"
        return [_spec("efficient_nms" if is_plugin else "tf_object_detection", parts)]
    return []


def _tflite_postprocess(network: _Network) -> list[HeadSpec]:
    if len(network.outputs) != 4:
        return []
    for pattern, order in _POSTPROCESS_ORDERS.items():
        matches = [re.match(pattern, info.name) for info in network.outputs]
        parts = {
            order[int(match.group(1) or 0)]: info
            for match, info in zip(matches, network.outputs)
            if match
        }
        in_order = {part: parts[part] for part in sorted(parts)}
        if (
            len(parts) == 4
            and _may_be(parts["boxes"], (1, "N", 4))
            and _may_be(parts["scores"], (1, "N"))
            and _may_be(parts["classes"], (1, "N"))
            and _may_be(parts["count"], (1,), (1, 1))
        ):
            return [_spec("tflite_detection_postprocess", in_order)]
    return []


def _rt_detr(network: _Network) -> list[HeadSpec]:
    parts = network.by_alias({"boxes": ["boxes"], "scores": ["scores"], "classes": ["labels"]})
    lists = len(parts) == 3 and all(
        fits(parts[part].shape, (1, "N")) for part in ("scores", "classes")
    )
    if lists and fits(parts["boxes"].shape, (1, "N", 4)):
        return [_spec("rt_detr_postprocessed", parts)]
    return []


def _centernet(network: _Network) -> list[HeadSpec]:
    parts = network.by_alias(
        {"heatmap": ["heatmap", "hm"], "offset": ["offset", "reg"], "size": ["size", "wh"]}
    )
    if len(parts) == 3 and all(len(info.shape) == 4 for info in parts.values()):
        return [_spec("centernet", parts)]
    return []


def _named_ssd(network: _Network) -> list[HeadSpec]:
    """Match what ``export_tflite_ssd_graph`` makes without its postprocessing; scores are ready."""
    parts = network.by_alias({"boxes": ["box_encodings"], "scores": ["class_predictions"]})
    if len(parts) == 2 and _may_be(
        parts["boxes"], (1, count_default_anchors(network.input_size), 4)
    ):
        return [_spec("ssd", parts, activation="none")]
    return []


def _named_detr(network: _Network) -> list[HeadSpec]:
    parts = network.by_alias(
        {"logits": ["logits", "pred_logits"], "boxes": ["boxes", "pred_boxes"]}
    )
    return [_spec("detr", parts)] if len(parts) == 2 else []


# -- by shape --------------------------------------------------------------------------------------


def _one_table(network: _Network) -> list[HeadSpec]:
    """One output (1, N, columns) or (1, columns, N)."""
    if len(network.outputs) != 1 or len(network.shapes[0]) != 3:
        return []
    parts = {"predictions": network.outputs[0]}
    (_, first, last) = shape = network.shapes[0]
    units = {}
    if _TENSORFLOW_NAME.match(network.outputs[0].name):
        units = {"box_units": "normalized"}
    proposals = []
    is_list = first is None or (first <= _MAX_QUERIES and not network.has_cells(first))
    # A score for each label, behind four numbers of the box.
    axis = _columns_axis(shape, network.columns(4))
    if axis == 1:
        proposals.append(_spec("yolov8", parts, **units))
    elif axis == 2:
        if network.has_cells(first):
            proposals.append(_spec("yolov8", parts, **units))
        if is_list and last not in _END_TO_END_COLUMNS:
            proposals.append(_spec("detr", parts))
    # One number more: an angle, or the objectness.
    axis = _columns_axis(shape, network.columns(5))
    if axis == 1:
        proposals.append(_spec("yolo_obb", parts, **units))
    elif axis == 2:
        if network.has_cells(first):
            proposals.append(_spec("yolox", parts))
        if network.has_cells(first, per_cell=3):
            proposals.append(_spec("yolov5", parts, **units))
    if is_list and last in _END_TO_END_COLUMNS:
        proposals.append(_spec("yolo_end_to_end", parts, **units))
    return proposals


def _columns_axis(shape: Shape, columns: int | str) -> int | None:
    """Which axis of a table, 1 or 2, holds its columns: no exporter leaves their number open."""
    _, first, last = shape
    if not isinstance(columns, str):
        return 1 if first == columns else 2 if last == columns else None
    if first is None or last is None:
        return 1 if last is None else 2
    return 1 if first < last else 2


def _raw_yolov5(network: _Network) -> list[HeadSpec]:
    """Three or four grids (1, A, h, w, columns); the head then asks for their anchors."""
    pattern = (1, "A", "h", "w", network.columns(5))
    grids = [info for info in network.outputs if fits(info.shape, pattern)]
    if len(grids) != len(network.outputs) or len(grids) not in (3, 4):
        return []
    if any(info.shape[2] is None for info in grids):
        return []
    grids.sort(key=lambda info: -(info.shape[2] or 0))
    return [_spec("yolov5", dict(zip(yolov5.LEVELS, grids)))]


def _boxes_and_scores(network: _Network) -> list[HeadSpec]:
    """Two outputs: (1, N, 4), and (1, N, classes) with or without one for the background."""
    proposals = []
    for boxes, scores in _pairs(network.outputs):
        patterns: list[Pattern] = [(1, "N", network.columns(0)), (1, "N", network.columns(1))]
        if not fits(boxes.shape, (1, "N", 4)) or not any(fits(scores.shape, p) for p in patterns):
            continue
        count = boxes.shape[1]
        if boxes.shape[1] != scores.shape[1]:
            continue
        is_ssd = count in (None, count_default_anchors(network.input_size))
        is_efficientdet = count in (None, _efficientdet_anchors(network.input_size))
        if is_ssd:
            proposals.append(_spec("ssd", {"boxes": boxes, "scores": scores}))
        if is_efficientdet and fits(scores.shape, patterns[0]):
            proposals.append(_spec("efficientdet", {"classes": scores, "boxes": boxes}))
        if count is None or (count <= _MAX_QUERIES and not is_ssd and not is_efficientdet):
            proposals.append(_spec("detr", {"logits": scores, "boxes": boxes}))
    return proposals


def _efficientdet_levels(network: _Network) -> list[HeadSpec]:
    """Ten maps: classes and boxes of five levels."""
    levels = efficientdet.LEVELS
    if len(network.outputs) != 2 * len(levels) or network.labels is None:
        return []
    shapes = efficientdet.NUM_SCALES * len(efficientdet.ASPECT_RATIOS)
    parts: dict[str, TensorInfo] = {}
    for kind, depth in (("classes", network.labels), ("boxes", 4)):
        for level in levels:
            (rows, columns) = grid_sizes(network.input_size, [2**level])[0]
            maps = [
                info
                for info in network.outputs
                if fits(info.shape, (1, rows, columns, shapes * depth))
                or fits(info.shape, (1, shapes * depth, rows, columns))
            ]
            if len(maps) > 1:
                maps = [info for info in maps if ("box" in info.name.lower()) == (kind == "boxes")]
            if len(maps) != 1:
                return []
            parts[f"{kind}_{level}"] = maps[0]
    return [_spec("efficientdet", parts)]


def _efficientdet_anchors(input_size: tuple[int, int]) -> int:
    shapes = efficientdet.NUM_SCALES * len(efficientdet.ASPECT_RATIOS)
    return shapes * _cells(input_size, [2**level for level in efficientdet.LEVELS])


def _detectnet(network: _Network) -> list[HeadSpec]:
    """Two maps: one of them with four channels for each of the other's, one for each label."""
    proposals = []
    for coverage, boxes in _pairs(network.outputs):
        classes = network.columns(0)
        for axis, pattern in ((1, (1, classes, "h", "w")), (3, (1, "h", "w", classes))):
            if not fits(coverage.shape, pattern) or len(boxes.shape) != 4:
                continue
            depth, edges = coverage.shape[axis], boxes.shape[axis]
            if depth is not None and edges == 4 * depth:
                proposals.append(_spec("detectnet", {"coverage": coverage, "boxes": boxes}))
    return proposals


def _pairs(outputs: Sequence[TensorInfo]) -> list[tuple[TensorInfo, TensorInfo]]:
    """Both orders of two outputs; none of any other number."""
    if len(outputs) != 2:
        return []
    return [(outputs[0], outputs[1]), (outputs[1], outputs[0])]


_NAME_RULES: tuple[Rule, ...] = (
    _detection_lists,
    _tflite_postprocess,
    _rt_detr,
    _centernet,
    _named_ssd,
    _named_detr,
)
_SHAPE_RULES: tuple[Rule, ...] = (
    _one_table,
    _raw_yolov5,
    _boxes_and_scores,
    _efficientdet_levels,
    _detectnet,
)
