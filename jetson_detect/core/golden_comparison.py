"""What was found in the frames of a replay beside what should have been: an earlier run, or truth.

Two objects are the same if they are of one class and their boxes overlap enough
(:func:`~jetson_detect.core.agreement.compare_detections`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from jetson_detect.core.agreement import compare_detections
from jetson_detect.core.detections import Detections
from jetson_detect.core.engines.proof.detection_agreement import Spread
from jetson_detect.core.evaluation import Evaluation, EvaluationError, Evaluator
from jetson_detect.core.statistics import class_label

_WORST_IN_JSON = 20
_SHOWN_PX, _SHOWN_DRIFT = 0.01, 0.001
"""Less is not worth telling of a frame."""


@dataclass(frozen=True)
class MatchRule:
    """When two objects are the same, and which count."""

    iou: float = 0.5
    """Boxes that overlap less (intersection over union) are different objects."""
    sure_score: float = 0.0
    """An object that only one run has counts from this score on.

    Above the score threshold of both runs it keeps what lies just beside that threshold, found one
    time and not found the next, from being a difference.
    """
    is_truth: bool = False
    """Whether the reference is the truth, whose scores say nothing: all of it is sure."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ValueError
            If one is not in its range.

        """
        if not 0.0 < self.iou <= 1.0:
            raise ValueError(f"an overlap (iou) of {self.iou:g} is not above 0 and at most 1")
        if not 0.0 <= self.sure_score <= 1.0:
            raise ValueError(f"a score (sure_score) of {self.sure_score:g} is not from 0 to 1")


DEFAULT_RULE = MatchRule()


@dataclass(frozen=True)
class ComparedFrame:
    """A frame and how it differs from its reference."""

    name: str
    """For people: number, topic and stamp."""
    stamp_ns: int
    objects: int
    """In the reference."""
    matched: int
    missed: Mapping[str, int]
    """Objects of the reference that were not found, by class."""
    extra: Mapping[str, int]
    """Objects that were found and are not in the reference, by class."""
    moved_px: float
    """The largest difference of an edge between two that match, in pixels of the image."""
    score_drift: float
    """The largest difference of their scores; 0 beside the truth, which has none."""

    @property
    def missed_count(self) -> int:
        """Of all classes."""
        return sum(self.missed.values())

    @property
    def extra_count(self) -> int:
        """Of all classes."""
        return sum(self.extra.values())

    @property
    def differences(self) -> int:
        """Objects that only one of the two has."""
        return self.missed_count + self.extra_count

    def __str__(self) -> str:
        parts = [
            f"{word} {_counted(counts)}"
            for word, counts in (("missed", self.missed), ("extra", self.extra))
            if counts
        ]
        if self.moved_px >= _SHOWN_PX:
            parts.append(f"moved {self.moved_px:.2f} px")
        if self.score_drift >= _SHOWN_DRIFT:
            parts.append(f"score differs by {self.score_drift:.3f}")
        return f"{self.name}: {', '.join(parts) or 'no difference'}"


def compare_frame(
    found: Detections,
    reference: Detections,
    names: Sequence[str],
    rule: MatchRule = DEFAULT_RULE,
    name: str = "",
    stamp_ns: int = 0,
) -> ComparedFrame:
    """Match the objects of one frame, class by class.

    Parameters
    ----------
    found, reference:
        In pixels of the same image; rotated boxes are compared by their upright hulls.
    names:
        Of the classes, by their index; one beyond them as
        :func:`~jetson_detect.core.statistics.class_label` does.
    rule:
        When two objects are the same.
    name, stamp_ns:
        Of the frame.

    """
    found, reference = found.upright(), reference.upright()
    if rule.is_truth:
        # Who labels pictures by hand may leave all scores at 0.
        reference = replace(reference, scores=np.ones_like(reference.scores))
    matched = 0
    missed: dict[str, int] = {}
    extra: dict[str, int] = {}
    moved_px = score_drift = 0.0
    for class_id in np.union1d(found.best_class_ids, reference.best_class_ids).tolist():
        # Objects of different classes never match, so that each class can be asked by itself.
        agreement = compare_detections(
            [found.take(found.best_class_ids == class_id)],
            [reference.take(reference.best_class_ids == class_id)],
            rule.sure_score,
            rule.iou,
        )
        label = class_label(class_id, names)
        matched += agreement.matched
        if agreement.missed:
            missed[label] = missed.get(label, 0) + agreement.missed
        if agreement.extra:
            extra[label] = extra.get(label, 0) + agreement.extra
        moved_px = max(moved_px, agreement.box_px)
        if not rule.is_truth:
            score_drift = max(score_drift, agreement.score)
    objects = matched + sum(missed.values())
    return ComparedFrame(name, stamp_ns, objects, matched, missed, extra, moved_px, score_drift)


@dataclass(frozen=True)
class ComparisonFigures:
    """How a run differs from its reference, over all frames of a topic."""

    frames: tuple[ComparedFrame, ...]
    """Those that the reference knows, in the order of the run."""
    unknown: tuple[str, ...]
    """Frames that the reference does not know."""
    absent: tuple[str, ...]
    """Frames of the reference that were not played."""
    reference_frames: int
    """All frames of the reference, those included."""
    objects: int
    matched: int
    missed: int
    extra: int
    """Objects in all frames; those of the reference are the matched and the missed ones."""
    moved_px: Spread
    """Of each frame's largest difference of an edge, pixels of the image."""
    score_drift: Spread
    """Of each frame's largest difference of a score."""
    accuracy: Evaluation | None
    """Average precision with the reference for truth; None if it could not be computed."""
    accuracy_problem: str = ""
    """Why it could not."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; of the frames the worst."""
        accuracy = self.accuracy
        worst = sorted(self.frames, key=lambda frame: (-frame.differences, -frame.moved_px))
        return {
            "frames": len(self.frames),
            "unknown_frames": list(self.unknown),
            "reference_frames": self.reference_frames,
            "absent_frames": list(self.absent),
            "objects": self.objects,
            "matched": self.matched,
            "missed": self.missed,
            "extra": self.extra,
            "moved_px": asdict(self.moved_px),
            "score_drift": asdict(self.score_drift),
            "map50": None if accuracy is None else accuracy.map50,
            "map75": None if accuracy is None else accuracy.map75,
            "map50_95": None if accuracy is None else accuracy.map50_95,
            "ap50_by_class": None if accuracy is None else dict(accuracy.ap50_by_class),
            "worst_frames": [
                {
                    "name": frame.name,
                    "missed": dict(frame.missed),
                    "extra": dict(frame.extra),
                    "moved_px": frame.moved_px,
                    "score_drift": frame.score_drift,
                }
                for frame in worst[:_WORST_IN_JSON]
                if frame.differences or frame.moved_px or frame.score_drift
            ],
        }


class GoldenComparison:
    """Collects the frames of a topic and compares each with its reference."""

    def __init__(self, names: Sequence[str], rule: MatchRule = DEFAULT_RULE) -> None:
        """Begin with no frame.

        Parameters
        ----------
        names:
            Of the classes; may grow while frames are added.
        rule:
            When two objects are the same.

        """
        self._names = names
        self._rule = rule
        self._frames: list[ComparedFrame] = []
        self._pairs: list[tuple[Detections, Detections]] = []
        self._unknown: list[str] = []

    def add(
        self, name: str, stamp_ns: int, found: Detections, reference: Detections | None
    ) -> ComparedFrame | None:
        """Compare a frame; one without a reference is only noted.

        Parameters
        ----------
        name, stamp_ns:
            Of the frame.
        found:
            Classes are indices into the names.
        reference:
            What should have been found.

        """
        if reference is None:
            self._unknown.append(name)
            return None
        found, reference = found.upright(), reference.upright()
        frame = compare_frame(found, reference, self._names, self._rule, name, stamp_ns)
        self._frames.append(frame)
        self._pairs.append((found, reference))
        return frame

    def figures(
        self, absent: Sequence[str] = (), reference_frames: int | None = None
    ) -> ComparisonFigures:
        """Sum up what was added so far.

        Parameters
        ----------
        absent:
            Frames of the reference that were not played, named for people.
        reference_frames:
            How many frames the reference has; None if all others were added once.

        """
        frames = self._frames
        if reference_frames is None:
            reference_frames = len(frames) + len(absent)
        with_match = [frame for frame in frames if frame.matched]
        accuracy, problem = self._accuracy()
        return ComparisonFigures(
            frames=tuple(frames),
            unknown=tuple(self._unknown),
            absent=tuple(absent),
            reference_frames=reference_frames,
            objects=sum(frame.objects for frame in frames),
            matched=sum(frame.matched for frame in frames),
            missed=sum(frame.missed_count for frame in frames),
            extra=sum(frame.extra_count for frame in frames),
            moved_px=Spread.of([frame.moved_px for frame in with_match]),
            score_drift=Spread.of([frame.score_drift for frame in with_match]),
            accuracy=accuracy,
            accuracy_problem=problem,
        )

    def _accuracy(self) -> tuple[Evaluation | None, str]:
        if not any(len(reference) for _, reference in self._pairs):
            return None, "the reference holds no object"
        evaluator = Evaluator(list(self._names))
        try:
            for found, reference in self._pairs:
                evaluator.add(found, reference)
            return evaluator.result(), ""
        except (EvaluationError, ValueError) as error:
            return None, str(error)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items())
