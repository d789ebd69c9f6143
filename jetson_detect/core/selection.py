"""Which of a network's candidates become detections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import Thresholds


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
    """(M, K)."""

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: NDArray[Any]) -> Candidates:
        """Return some of the candidates, in the order of the index."""
        return replace(
            self,
            boxes=self.boxes[index],
            scores=self.scores[index],
            class_ids=self.class_ids[index],
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
    scores = np.take_along_axis(class_scores, class_ids, axis=1)
    scores = np.where(scores >= selection.score_threshold, scores, np.float32(0))
    return scores, class_ids.astype(np.int32)


def class_mask(classes: int, selection: Selection) -> NDArray[np.bool_] | None:
    """(C,): which classes are wanted; None for all of them."""
    if selection.class_ids is None:
        return None
    mask = np.zeros(classes, np.bool_)
    mask[[index for index in selection.class_ids if 0 <= index < classes]] = True
    return mask


def suppress(candidates: Candidates, selection: Selection) -> Candidates:
    """Greedy non-maximum suppression, best first, at most ``max_detections``.

    Boxes of different classes are kept apart, unless the selection is class agnostic, by moving
    each class to a place of its own: ``cv2.dnn.NMSBoxes`` is in every OpenCV from 4.5 on, its
    batched sister, which does the same inside, only from 4.7.
    """
    order = np.argsort(-candidates.scores[:, 0], kind="stable")
    candidates = candidates.take(order)
    if len(candidates) > 1 and selection.iou_threshold < 1.0:
        boxes = candidates.boxes.astype(np.float64)
        if not selection.class_agnostic:
            extent = boxes.max() - boxes.min() + 1.0
            boxes = boxes + (candidates.class_ids[:, :1] * extent)
        boxes[:, 2:] -= boxes[:, :2]
        kept = cv2.dnn.NMSBoxes(
            boxes.tolist(),  # the binding reads lists several times faster than array rows
            candidates.scores[:, 0].tolist(),
            0.0,
            selection.iou_threshold,
        )
        candidates = candidates.take(np.asarray(kept, np.intp).reshape(-1))
    return candidates.take(np.arange(min(len(candidates), selection.max_detections)))
