"""How good detections are: COCO's mean average precision, as pycocotools computes it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections

_MAX_DETECTIONS = 100
"""Per image and class, as in COCO."""

_AREAS = [[0.0, 1e10]]
"""Objects of every size."""

_IOU_50, _IOU_75 = 0, 5
"""Indices into COCO's thresholds, 0.50, 0.55, … 0.95."""


class EvaluationError(RuntimeError):
    """A library that evaluating needs is missing."""


@dataclass(frozen=True)
class Evaluation:
    """Average precision over a set of images, between 0 and 1.

    The means are over the classes that occur in the truth, as in COCO.  Without any truth they
    are 0: nothing was shown to be found.
    """

    images: int
    ground_truths: int
    """Objects in the truth of all images."""
    predictions: int
    """Detections in all images."""
    map50: float
    """At an IoU (overlap by union of the boxes) of at least 0.50."""
    map75: float
    """At an IoU of at least 0.75."""
    map50_95: float
    """Mean over the IoU thresholds 0.50, 0.55, … 0.95."""
    ap50_by_class: Mapping[str, float]
    """At an IoU of at least 0.50, for each label that occurs in the truth."""
    ap75_by_class: Mapping[str, float]
    """At an IoU of at least 0.75, for each label that occurs in the truth."""


class Evaluator:
    """Collects predictions and truth, image by image.

    A predicted class that is none of the labels (-1, for one) matches nothing: it is a false
    positive, and the object it may have meant counts as missed.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Name the classes; class 0 is the first label."""
        self._labels = list(labels)
        self._images = 0
        self._truths: list[dict[str, Any]] = []
        self._predictions: list[dict[str, Any]] = []

    def add(self, predicted: Detections, truth: Detections) -> None:
        """Add an image.

        Parameters
        ----------
        predicted
            What was found; the best hypothesis of each object counts.
        truth
            What is there; scores do not matter.

        Raises
        ------
        ValueError
            If boxes are rotated, or the truth has a class that is none of the labels.

        """
        if predicted.angles is not None or truth.angles is not None:
            raise ValueError(
                "rotated boxes cannot be compared by COCO's measure; "
                "enclose them in upright ones (angles=None)"
            )
        if len(truth):
            unknown = sorted(set(truth.best_class_ids.tolist()) - set(range(len(self._labels))))
            if unknown:
                raise ValueError(
                    f"the truth of image {self._images} has class {unknown[0]}, but there are only "
                    f"the labels {', '.join(self._labels)}; the truth's labels must be among them"
                )
        self._images += 1
        # Identifiers start at 1: pycocotools takes 0 for "no match".
        for annotation in _annotations(truth, self._images):
            self._truths.append({**annotation, "id": len(self._truths) + 1, "iscrowd": 0})
        for annotation in _annotations(predicted, self._images):
            self._predictions.append({**annotation, "id": len(self._predictions) + 1})

    def result(self) -> Evaluation:
        """Evaluate all images added so far.

        Raises
        ------
        EvaluationError
            If pycocotools is not installed.

        """
        precisions = self._precisions() if self._truths else np.zeros((10, 101, 0))
        # (10 thresholds, 101 recalls, classes) with -1 all over a class without truth.
        present = np.flatnonzero((precisions > -1).any(axis=(0, 1)))
        average = precisions[:, :, present].mean(axis=1)  # (10, present)

        def mean(values: NDArray[np.float64]) -> float:
            return float(values.mean()) if values.size else 0.0

        def by_class(values: NDArray[np.float64]) -> dict[str, float]:
            names = (self._labels[class_id] for class_id in present.tolist())
            return dict(zip(names, values.tolist()))

        return Evaluation(
            images=self._images,
            ground_truths=len(self._truths),
            predictions=len(self._predictions),
            map50=mean(average[_IOU_50]),
            map75=mean(average[_IOU_75]),
            map50_95=mean(average),
            ap50_by_class=by_class(average[_IOU_50]),
            ap75_by_class=by_class(average[_IOU_75]),
        )

    def _precisions(self) -> NDArray[np.float64]:
        """Return the interpolated precision, (thresholds, recalls, classes)."""
        try:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
        except ImportError as error:
            raise EvaluationError(
                f"comparing with ground truth needs pycocotools ({error}); "
                "pip install pycocotools, or apt-get install python3-pycocotools"
            ) from error

        images = [{"id": number + 1} for number in range(self._images)]
        categories = [{"id": number} for number in range(len(self._labels))]

        def coco(annotations: list[dict[str, Any]]) -> Any:
            made = COCO()
            made.dataset = {
                "images": images,
                "annotations": annotations,
                "categories": categories,
            }
            made.createIndex()
            return made

        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
            evaluation = COCOeval(coco(self._truths), coco(self._predictions), "bbox")
            evaluation.params.maxDets = [_MAX_DETECTIONS]
            evaluation.params.areaRng = _AREAS
            evaluation.params.areaRngLbl = ["all"]
            evaluation.evaluate()
            evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"], np.float64)[:, :, :, 0, 0]


def _annotations(detections: Detections, image: int) -> Iterator[dict[str, Any]]:
    if not len(detections):
        return
    corners = detections.boxes[:, :2].astype(np.float64)
    sizes = detections.boxes[:, 2:].astype(np.float64) - corners
    rows = zip(
        np.hstack((corners, sizes)).tolist(),
        detections.best_scores.tolist(),
        detections.best_class_ids.tolist(),
    )
    for box, score, class_id in rows:
        yield {
            "image_id": image,
            "category_id": class_id,
            "bbox": box,
            "area": box[2] * box[3],
            "score": score,
        }
