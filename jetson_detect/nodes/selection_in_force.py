"""What a detector's parameters select; where they leave it open, what its model does."""

from __future__ import annotations

from dataclasses import replace

from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Selection
from jetson_detect.nodes.detector_config import MODELS_OWN, DetectorConfig


def selection_in_force(config: DetectorConfig, model: ModelSpec) -> Selection:
    """Return what is reported of a model's candidates."""
    selection = Selection.from_thresholds(model.thresholds)
    if config.score_threshold >= 0.0:
        selection = replace(selection, score_threshold=config.score_threshold)
    if config.iou_threshold >= 0.0:
        selection = replace(selection, iou_threshold=config.iou_threshold)
    if config.max_detections > 0:
        selection = replace(selection, max_detections=config.max_detections)
    wanted = frozenset(model.labels.index(label) for label in config.classes)
    return replace(
        selection,
        hypotheses=config.max_hypotheses,
        class_agnostic=config.class_agnostic,
        class_ids=wanted or None,
    )


def without_own_thresholds(config: DetectorConfig, model: ModelSpec) -> DetectorConfig:
    """Leave those thresholds to the next model that were this one's own."""
    own = model.thresholds
    changes: dict[str, float | int] = {}
    if config.score_threshold == own.score:
        changes["score_threshold"] = MODELS_OWN
    if config.iou_threshold == own.iou:
        changes["iou_threshold"] = MODELS_OWN
    if config.max_detections == own.max_detections:
        changes["max_detections"] = 0
    return replace(config, **changes)  # type: ignore[arg-type]
