"""How far the objects that an engine finds are those that its source finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jetson_detect.core.agreement import Agreement, compare_detections
from jetson_detect.core.detections import Detections
from jetson_detect.core.evaluation import Evaluation, Evaluator
from jetson_detect.core.model import InputSpec


@dataclass(frozen=True)
class Spread:
    """Of the largest difference in each frame that has an object which both find."""

    mean: float
    p99: float
    largest: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> Spread:
        """Summarise; zeros where there are none."""
        if not len(differences):
            return cls(0.0, 0.0, 0.0)
        values = np.asarray(differences, np.float64)
        return cls(float(values.mean()), float(np.percentile(values, 99)), float(values.max()))


@dataclass(frozen=True)
class WorstFrame:
    """The frame in which engine and source agree least."""

    index: int
    missed: int
    extra: int
    box_px: float
    """The largest difference of an edge there, in pixels of the picture."""


@dataclass(frozen=True)
class DetectionAgreement:
    """The engine's objects beside the source's, over all frames.

    Both are sure of an object from the model's score threshold on; what the other has as a weak
    candidate is neither missed nor extra.
    """

    objects: int
    """Those that the source is sure of."""
    matched: int
    missed: int
    """The source is sure of them, the engine has not even a weak candidate."""
    extra: int
    """The engine is sure of them, the source has not even a weak candidate."""
    box_px: Spread
    """Differences of edges, in pixels of the picture."""
    box_input_px: Spread
    """The same in pixels of the network's input, which do not depend on the camera."""
    score: Spread
    """Differences of scores."""
    worst: WorstFrame

    @property
    def disagreement(self) -> float:
        """The share of all objects that only one of the two finds."""
        alone = self.missed + self.extra
        return alone / max(1, self.matched + alone)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DetectionAgreement:
        """Read what :func:`dataclasses.asdict` made."""
        spreads = {name: Spread(**document[name]) for name in ("box_px", "box_input_px", "score")}
        return cls(**{**document, **spreads, "worst": WorstFrame(**document["worst"])})


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's mean average precision of an engine, beside its source's where that is not 1."""

    objects: int
    """In the truth."""
    engine50: float
    engine75: float
    source50: float = 1.0
    source75: float = 1.0

    @property
    def drop50(self) -> float:
        """How much less the engine has than its source, at an IoU of 0.50; below 0 for more."""
        return self.source50 - self.engine50


def compare_frames(
    engine: Sequence[Detections],
    source: Sequence[Detections],
    sizes: Sequence[tuple[int, int]],
    spec: InputSpec,
    score_threshold: float,
) -> DetectionAgreement:
    """Match the objects of each frame.

    Parameters
    ----------
    engine, source:
        What each found, weak candidates too; rotated boxes are compared by their upright hulls.
    sizes:
        Width and height of each picture.
    spec:
        The network's input, and how a picture is fitted into it.
    score_threshold:
        From here on one is sure of an object.

    Raises
    ------
    ValueError
        If the numbers of frames differ, or there are none.

    """
    if not len(engine) == len(source) == len(sizes) > 0:
        raise ValueError(f"{len(engine)}, {len(source)} and {len(sizes)} frames: not the same")
    frames = [
        compare_detections([ours.upright()], [theirs.upright()], score_threshold)
        for ours, theirs in zip(engine, source)
    ]
    scales = [max(spec.fit(size).scale) for size in sizes]
    matched = [(frame, scale) for frame, scale in zip(frames, scales) if frame.matched]
    worst = max(range(len(frames)), key=lambda index: _badness(frames[index]))
    return DetectionAgreement(
        objects=sum(int((each.best_scores >= score_threshold).sum()) for each in source),
        matched=sum(frame.matched for frame in frames),
        missed=sum(frame.missed for frame in frames),
        extra=sum(frame.extra for frame in frames),
        box_px=Spread.of([frame.box_px for frame, _ in matched]),
        box_input_px=Spread.of([frame.box_px * scale for frame, scale in matched]),
        score=Spread.of([frame.score for frame, _ in matched]),
        worst=WorstFrame(worst, frames[worst].missed, frames[worst].extra, frames[worst].box_px),
    )


def precision_against_source(
    engine: Sequence[Detections], source: Sequence[Detections], score_threshold: float
) -> AveragePrecision | None:
    """Take what the source is sure of for the truth; None if that is nothing.

    Raises
    ------
    EvaluationError
        If pycocotools is not installed.

    """
    sure = [each.take(each.best_scores >= score_threshold) for each in source]
    evaluation = _evaluate(engine, sure)
    if evaluation is None:
        return None
    return AveragePrecision(evaluation.ground_truths, evaluation.map50, evaluation.map75)


def precision_against_truth(
    engine: Sequence[Detections],
    source: Sequence[Detections],
    truths: Sequence[Detections | None],
) -> AveragePrecision | None:
    """Compare both with the truth of those frames that have any; None if no object is in it.

    Raises
    ------
    EvaluationError
        If pycocotools is not installed.

    """
    known = [(index, truth) for index, truth in enumerate(truths) if truth is not None]
    of_truth = [truth for _, truth in known]
    ours = _evaluate([engine[index] for index, _ in known], of_truth)
    theirs = _evaluate([source[index] for index, _ in known], of_truth)
    if ours is None or theirs is None:
        return None
    return AveragePrecision(ours.ground_truths, ours.map50, ours.map75, theirs.map50, theirs.map75)


def _badness(frame: Agreement) -> tuple[int, float]:
    return frame.missed + frame.extra, frame.box_px


def _evaluate(found: Sequence[Detections], truths: Sequence[Detections]) -> Evaluation | None:
    """Evaluate over the classes that occur in the truth, which may lie beyond the labels."""
    if not sum(len(truth) for truth in truths):
        return None
    classes = np.unique(np.concatenate([truth.best_class_ids for truth in truths]))
    evaluator = Evaluator([str(class_id) for class_id in classes.tolist()])
    for ours, truth in zip(found, truths):
        evaluator.add(_renumbered(ours, classes), _renumbered(truth, classes))
    return evaluator.result()


def _renumbered(detections: Detections, classes: Any) -> Detections:
    """Return upright boxes whose classes are indices into ``classes``, -1 for any other."""
    upright = detections.upright()
    index = np.searchsorted(classes, upright.best_class_ids)
    known = classes[np.minimum(index, len(classes) - 1)] == upright.best_class_ids
    numbers = np.where(known, index, -1).astype(np.int32)
    return Detections.from_best(upright.boxes, upright.best_scores, numbers)
