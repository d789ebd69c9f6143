"""Which of a network's candidates become detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import Thresholds

MAX_CANDIDATES = 4096
"""The most boxes, best first, that enter suppression.

As in TensorRT's own EfficientNMS plugin
(https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin): what ranks lower is
hardly ever an object, and the time that suppression takes grows with the square.
"""
MAX_ROTATED_CANDIDATES = 1024
"""The same for rotated boxes, whose overlap takes OpenCV some twenty times as long."""

_Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Selection:
    """What a caller wants to see; may change from frame to frame."""

    score_threshold: float = Thresholds.score
    """Hypotheses below it are left out."""
    iou_threshold: float = Thresholds.iou
    """Of two boxes that overlap more than this, the better one stays."""
    max_detections: int = Thresholds.max_detections
    hypotheses: int = 1
    """The most hypotheses kept for each object."""
    class_ids: frozenset[int] | None = None
    """Only these classes; None for all."""
    class_agnostic: bool = False
    """Whether boxes of different classes suppress each other."""

    @classmethod
    def from_thresholds(cls, thresholds: Thresholds) -> Selection:
        """Start from a model's own thresholds."""
        return cls(thresholds.score, thresholds.iou, thresholds.max_detections)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes that a head decoded, before suppression; M of them in any order."""

    boxes: NDArray[np.float32]
    """(M, 4): x_min, y_min, x_max, y_max in network pixels."""
    scores: NDArray[np.float32]
    """(M, K): best first; 0 for a hypothesis that is below the threshold."""
    class_ids: NDArray[np.int32]
    """(M, K); the network's own, which may lie beyond the labels."""
    angles: NDArray[np.float32] | None = None
    """(M,): rotation in radians about the box's centre (x towards y), or None if axis aligned.

    With an angle, ``boxes`` holds the extent before the rotation.
    """

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: NDArray[Any]) -> Candidates:
        """Return some of the candidates, in the order of the index."""
        return Candidates(
            self.boxes[index],
            self.scores[index],
            self.class_ids[index],
            None if self.angles is None else self.angles[index],
        )


def concatenate(pieces: Sequence[Candidates]) -> Candidates:
    """Join the candidates of several feature maps; they have equally many hypotheses or none."""
    filled = [piece for piece in pieces if len(piece)] or pieces[:1]
    if len(filled) == 1:
        return filled[0]
    angles = [piece.angles for piece in filled if piece.angles is not None]
    return Candidates(
        np.concatenate([piece.boxes for piece in filled]),
        np.concatenate([piece.scores for piece in filled]),
        np.concatenate([piece.class_ids for piece in filled]),
        np.concatenate(angles) if angles else None,
    )


def rank_hypotheses(
    class_scores: NDArray[np.float32], selection: Selection
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Order the class scores of each survivor, best first.

    Parameters
    ----------
    class_scores:
        (M, C): a score for each class; classes that are not wanted hold 0 already.
    selection:
        How many to keep, and from which score.

    Returns
    -------
    Scores and classes, both (M, K) with K = min(hypotheses, C); 0 below the threshold.

    """
    count = min(selection.hypotheses, class_scores.shape[1])
    if count == 1:
        class_ids = class_scores.argmax(axis=1)[:, None]
    else:
        class_ids = np.argsort(-class_scores, axis=1, kind="stable")[:, :count]
    scores = class_scores[np.arange(len(class_scores))[:, None], class_ids]
    scores[scores < selection.score_threshold] = 0
    return scores, class_ids.astype(np.int32)


def class_mask(classes: int, selection: Selection) -> NDArray[np.bool_] | None:
    """(C,): which classes are wanted; None for all of them."""
    if selection.class_ids is None:
        return None
    mask = np.zeros(classes, np.bool_)
    mask[[index for index in selection.class_ids if 0 <= index < classes]] = True
    return mask


def keep_best(candidates: Candidates, selection: Selection) -> Candidates:
    """Return at most ``max_detections`` candidates, best first."""
    return candidates.take(_best_first(candidates)[: selection.max_detections])


def _best_first(candidates: Candidates) -> _Indices:
    return np.argsort(-candidates.scores[:, 0], kind="stable")


def suppress(candidates: Candidates, selection: Selection) -> Candidates:
    """Greedy non-maximum suppression, best first, at most ``max_detections``.

    Only the best :data:`MAX_CANDIDATES` are looked at, or :data:`MAX_ROTATED_CANDIDATES`.  Rotated
    boxes overlap by the area that they share, not by that of their upright hulls.
    """
    if len(candidates) < 2 or selection.iou_threshold >= 1.0:
        return keep_best(candidates, selection)
    is_upright = candidates.angles is None
    most = MAX_CANDIDATES if is_upright else MAX_ROTATED_CANDIDATES
    survivors = _upright_survivors if is_upright else _rotated_survivors
    order = _best_first(candidates)[:most]
    # What is kept of the best n does not depend on the rest: where many are kept, few boxes need
    # to be compared.
    limit = selection.max_detections
    count = 2 * limit
    while True:
        kept = survivors(candidates.take(order[:count]), selection)
        if len(kept) >= limit or count >= len(order):
            return candidates.take(order[kept[:limit]])
        count *= 2


def _upright_survivors(candidates: Candidates, selection: Selection) -> _Indices:
    """Return the indices of sorted candidates that no better one suppresses.

    Boxes of different classes are kept apart by moving each class to a place of its own:
    ``cv2.dnn.NMSBoxes`` is in every OpenCV from 4.5 on, its batched sister, which does the same
    inside, only from 4.7.
    """
    boxes = candidates.boxes.astype(np.float64)
    if not selection.class_agnostic:
        extent = boxes.max() - boxes.min() + 1.0
        boxes += candidates.class_ids[:, :1] * extent
    boxes[:, 2:] -= boxes[:, :2]
    return _opencv_nms(cv2.dnn.NMSBoxes, boxes.tolist(), candidates, selection)


def _rotated_survivors(candidates: Candidates, selection: Selection) -> _Indices:
    """Return the indices of sorted, rotated candidates that no better one suppresses.

    Classes are gone through one by one: OpenCV's rotated rectangles hold float32, too coarse to
    move classes apart.  A box that lies wholly inside another overlaps it by 1 for OpenCV
    (``rotatedRectIOU`` in ``modules/dnn/src/nms.cpp``), however small it is.
    """
    assert candidates.angles is not None
    corners = candidates.boxes.astype(np.float64)
    centers, sizes = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    degrees = np.degrees(candidates.angles.astype(np.float64))
    rectangles = list(zip(centers.tolist(), sizes.tolist(), degrees.tolist()))
    best_class = candidates.class_ids[:, 0]
    if selection.class_agnostic:
        best_class = np.zeros_like(best_class)
    kept = []
    for class_id in np.unique(best_class):
        members = np.flatnonzero(best_class == class_id)
        among = _opencv_nms(
            cv2.dnn.NMSBoxesRotated,
            [rectangles[index] for index in members],
            candidates.take(members),
            selection,
        )
        kept.append(members[among])
    return np.sort(np.concatenate(kept))


def _opencv_nms(
    function: Callable[..., Any], boxes: list[Any], candidates: Candidates, selection: Selection
) -> _Indices:
    """Call one of OpenCV's functions; lists are read several times faster than array rows."""
    kept = function(boxes, candidates.scores[:, 0].tolist(), 0.0, selection.iou_threshold)
    return np.asarray(kept, np.intp).reshape(-1)
