"""How far two detectors agree about the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections

_NO_PAIR = -1.0
"""Below any overlap, also of two that do not touch."""


@dataclass(frozen=True)
class Agreement:
    """What one detector finds, compared with what a reference finds."""

    matched: int
    """Objects that both found: of one class, and overlapping."""
    missed: int
    """Objects that the reference is sure of and the other has not even as a weak candidate."""
    extra: int
    """Objects that only the other one is sure of."""
    box_px: float
    """The largest difference of an edge between two that match, in pixels."""
    score: float
    """The largest difference of their scores."""


def compare_detections(
    found: Sequence[Detections],
    reference: Sequence[Detections],
    score_threshold: float,
    iou_threshold: float = 0.5,
) -> Agreement:
    """Match what was found to the reference, picture by picture.

    Parameters
    ----------
    found, reference:
        Of the same pictures; also with candidates below the threshold, so that one which lies
        just beside it for one of the two is no disagreement.
    score_threshold:
        From here on a detector is sure of an object.
    iou_threshold:
        Boxes that overlap less are different objects.

    Raises
    ------
    ValueError
        If the numbers of pictures differ.

    """
    if len(found) != len(reference):
        raise ValueError(f"{len(found)} pictures cannot be compared with {len(reference)}")
    matched = missed = extra = 0
    box_px = score = 0.0
    for ours, theirs in zip(found, reference):
        pairs = match_objects(ours, theirs, iou_threshold)
        sure = (ours.best_scores[pairs[:, 0]] >= score_threshold) | (
            theirs.best_scores[pairs[:, 1]] >= score_threshold
        )
        pairs = pairs[sure]
        matched += len(pairs)
        extra += _sure_alone(ours, pairs[:, 0], score_threshold)
        missed += _sure_alone(theirs, pairs[:, 1], score_threshold)
        if len(pairs):
            left, right = pairs.T
            box_px = max(box_px, float(np.abs(ours.boxes[left] - theirs.boxes[right]).max()))
            differences = np.abs(ours.best_scores[left] - theirs.best_scores[right])
            score = max(score, float(differences.max()))
    return Agreement(matched, missed, extra, box_px, score)


def iou_matrix(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of (N, 4) and (M, 4) boxes x_min, y_min, x_max, y_max: (N, M)."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(np.maximum(sides, 0.0), axis=2)
    areas = [np.prod(box[..., 2:] - box[..., :2], axis=2) for box in (a, b)]
    union = areas[0] + areas[1] - intersection
    ious: NDArray[np.float64] = intersection / np.maximum(union, np.finfo(np.float64).tiny)
    return ious


def match_objects(ours: Detections, theirs: Detections, iou_threshold: float) -> NDArray[np.intp]:
    """Pair objects of one class that overlap by the threshold or more, those that do most first.

    Returns
    -------
    (P, 2): an index of ours and one of theirs for each pair.

    """
    ious = iou_matrix(ours.boxes, theirs.boxes)
    ious[ours.best_class_ids[:, None] != theirs.best_class_ids[None]] = _NO_PAIR
    pairs: list[tuple[int, int]] = []
    while ious.size and ious.max() >= iou_threshold:
        row, column = divmod(int(ious.argmax()), ious.shape[1])
        pairs.append((row, column))
        ious[row] = _NO_PAIR
        ious[:, column] = _NO_PAIR
    return np.array(pairs, np.intp).reshape(-1, 2)


def _sure_alone(detections: Detections, paired: NDArray[np.intp], threshold: float) -> int:
    alone = np.ones(len(detections), np.bool_)
    alone[paired] = False
    return int((alone & (detections.best_scores >= threshold)).sum())
