"""What is drawn over a frame: objects found, and those of the truth or an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.agreement import match_objects
from jetson_detect.core.detections import Detections
from jetson_detect.core.golden_comparison import MatchRule
from jetson_detect.core.statistics import class_label
from jetson_detect.report.replayed_frame import ReplayedFrame

FOUND, TRUTH, GOLDEN = "found", "truth", "golden"
"""Whose object it is."""
MISSED, EXTRA = "missed", "extra"
"""What is wrong with it: not found, or found and not there."""


@dataclass(frozen=True)
class ObjectMark:
    """One object as it is drawn."""

    kind: str
    """:data:`FOUND`, :data:`TRUTH` or :data:`GOLDEN`."""
    name: str
    """Of its class."""
    class_id: int
    score: float | None
    """None for the truth."""
    corners: tuple[tuple[float, float], ...]
    """x and y of each in pixels of the picture, clockwise."""
    fault: str = ""
    """:data:`MISSED`, :data:`EXTRA` or nothing."""

    @property
    def text(self) -> str:
        """What is said of it, such as ``extra: ball 0.61``."""
        fault = f"{self.fault}: " if self.fault else ""
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{fault}{self.name}{score}"


@dataclass(frozen=True)
class FrameDifference:
    """How what was found differs from what it is compared with."""

    missed: int = 0
    extra: int = 0

    @property
    def total(self) -> int:
        """Objects that only one of the two has."""
        return self.missed + self.extra


@dataclass(frozen=True, eq=False)
class ComparedObjects:
    """The objects of a frame beside those that they are compared with."""

    frame: ReplayedFrame
    references: dict[str, Detections]
    """By :data:`TRUTH` and :data:`GOLDEN`, those that there are."""
    missed: dict[str, NDArray[np.bool_]]
    """Of each reference: which of its objects were not found."""
    extra: dict[str, NDArray[np.bool_]]
    """Of each reference: which of the objects found it does not have."""

    @classmethod
    def of(cls, frame: ReplayedFrame, rule: MatchRule) -> ComparedObjects:
        """Match objects of one class whose boxes overlap, rotated ones by their upright hulls."""
        references = {
            kind: objects
            for kind, objects in ((TRUTH, frame.truth), (GOLDEN, frame.golden))
            if objects is not None
        }
        missed, extra = {}, {}
        for kind, objects in references.items():
            pairs = match_objects(frame.detections.upright(), objects.upright(), rule.iou)
            extra[kind] = _alone(frame.detections, pairs[:, 0], rule.sure_score)
            # Who labels pictures by hand may leave all scores at 0: the truth is always sure.
            missed[kind] = _alone(objects, pairs[:, 1], 0.0 if kind == TRUTH else rule.sure_score)
        return cls(frame, references, missed, extra)

    def difference(self, kind: str) -> FrameDifference:
        """Count what only one of the two has."""
        return FrameDifference(int(self.missed[kind].sum()), int(self.extra[kind].sum()))

    def marks(self) -> list[ObjectMark]:
        """List what is drawn, in the order of drawing: what was found lies on top, the best last.

        An object found is extra if the truth does not have it, or, where no truth is known, the
        earlier run.
        """
        judge = next(iter(self.references), None)
        labels, found = self.frame.labels, self.frame.detections
        marks = [
            mark
            for kind, objects in self.references.items()
            for mark in _marks(kind, objects, labels, MISSED, self.missed[kind])
        ]
        alone = np.zeros(len(found), np.bool_) if judge is None else self.extra[judge]
        return [*marks, *reversed(_marks(FOUND, found, labels, EXTRA, alone))]


def _marks(
    kind: str,
    objects: Detections,
    labels: Sequence[str],
    fault: str,
    faulty: NDArray[np.bool_],
) -> list[ObjectMark]:
    return [
        ObjectMark(
            kind=kind,
            name=class_label(class_id, labels),
            class_id=class_id,
            score=None if kind == TRUTH else score,
            corners=tuple((x, y) for x, y in corners),
            fault=fault if is_faulty else "",
        )
        for class_id, score, corners, is_faulty in zip(
            objects.best_class_ids.tolist(),
            objects.best_scores.tolist(),
            objects.corners().tolist(),
            faulty.tolist(),
        )
    ]


def _alone(objects: Detections, paired: NDArray[np.intp], sure_score: float) -> NDArray[np.bool_]:
    """Tell of each object whether it is sure and has no other that is the same."""
    alone: NDArray[np.bool_] = objects.best_scores >= sure_score
    alone[paired] = False
    return alone
