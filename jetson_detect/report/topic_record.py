"""What a report remembers of the frames of one topic: numbers, and a few pictures."""

from __future__ import annotations

import functools
from array import array
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import to_bgr
from jetson_detect.core.evaluation import Evaluation, Evaluator
from jetson_detect.core.golden_comparison import MatchRule
from jetson_detect.core.statistics import class_label
from jetson_detect.report.chosen_frames import EvenlySpaced, Worst
from jetson_detect.report.object_marks import (
    TRUTH,
    ComparedObjects,
    FrameDifference,
    ObjectMark,
)
from jetson_detect.report.replayed_frame import ReplayedFrame


@dataclass(frozen=True)
class PictureChoice:
    """Which frames are shown, and how large."""

    evenly: int = 24
    """Frames of each topic that lie evenly over it; up to twice as many in a short report."""
    worst: int = 12
    """Frames of each topic that differ most from what they are compared with; the slowest ones
    where there is nothing to compare with."""
    longest_side: int = 800
    """Of a picture, in pixels; larger ones are shrunk."""
    jpeg_quality: int = 78
    max_megabytes: float = 3.5
    """Of all pictures together; where they are more, fewer frames are shown."""


@dataclass(frozen=True)
class ShownFrame:
    """A frame that the report can show."""

    number: int
    """Counts the frames of its topic from 0."""
    stamp_ns: int
    latency_ms: float | None
    differences: dict[str, FrameDifference]
    """By what it was compared with."""
    marks: tuple[ObjectMark, ...]
    size: tuple[int, int]
    """Width and height of the picture that the marks are on."""
    jpeg: bytes
    """The picture, which may be smaller."""


class TopicRecord:
    """Collects the frames of one topic."""

    def __init__(self, topic: str, choice: PictureChoice, rule: MatchRule) -> None:
        self.topic = topic
        self._choice, self._rule = choice, rule
        self._last_stamp_ns: int | None = None
        self._seconds = array("d")
        self._latencies = array("d")
        self._object_frames = array("L")
        self._object_classes = array("l")
        self.labels: tuple[str, ...] = ()
        """Those of the last frame."""
        self.lost = 0
        """Frames that were not answered."""
        self.missed: Counter[str] = Counter()
        """Objects not found, by what they were compared with."""
        self.extra: Counter[str] = Counter()
        """Objects found in addition, by what they were compared with."""
        self.reference_objects: dict[str, Counter[int]] = {}
        """Objects by class of what was compared with."""
        self._with_truth: list[tuple[Detections, Detections]] = []
        """What was found and what is there; judged at the end, since labels may be added."""
        self._evenly: EvenlySpaced[ShownFrame] = EvenlySpaced(choice.evenly)
        self._worst: Worst[ShownFrame] = Worst(choice.worst)

    @property
    def answered(self) -> int:
        """Frames added."""
        return len(self._seconds)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(N,): time of each frame since the first one, by header stamps.

        Where stamps jump back, as when a bag is played in a loop, time goes on from there.
        """
        return np.array(self._seconds, np.float64)

    @property
    def latencies_ms(self) -> NDArray[np.float64]:
        """(N,): of each frame, NaN where it is not known."""
        return np.array(self._latencies, np.float64)

    @property
    def objects(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(M,) twice: of each object found, the number of its frame and its class."""
        return np.array(self._object_frames, np.int64), np.array(self._object_classes, np.int64)

    @property
    def evenly_spaced(self) -> list[ShownFrame]:
        """Frames in the order of time."""
        return self._evenly.kept

    @property
    def worst(self) -> list[ShownFrame]:
        """The worst frame first."""
        return self._worst.kept

    def add(self, frame: ReplayedFrame) -> None:
        """Take the numbers of a frame, and its picture if it is chosen."""
        number = self.answered
        compared = ComparedObjects.of(frame, self._rule)
        self.labels = tuple(frame.labels)
        self._add_time(frame.stamp_ns)
        self._latencies.append(np.nan if frame.latency_ms is None else frame.latency_ms)
        classes = frame.detections.best_class_ids.tolist()
        self._object_classes.extend(classes)
        self._object_frames.extend([number] * len(classes))
        differences = {kind: compared.difference(kind) for kind in compared.references}
        for kind, difference in differences.items():
            self.missed[kind] += difference.missed
            self.extra[kind] += difference.extra
            objects = self.reference_objects.setdefault(kind, Counter())
            objects.update(compared.references[kind].best_class_ids.tolist())
        if TRUTH in compared.references:
            self._with_truth.append((frame.detections, compared.references[TRUTH]))

        @functools.cache
        def shown() -> ShownFrame:
            return ShownFrame(
                number=number,
                stamp_ns=frame.stamp_ns,
                latency_ms=frame.latency_ms,
                differences=differences,
                marks=tuple(compared.marks()),
                size=frame.pixels.size,
                jpeg=_jpeg(frame, self._choice),
            )

        self._evenly.offer(shown)
        faults = sum(difference.total for difference in differences.values())
        if faults:
            self._worst.offer((faults, 0.0), shown)
        elif not differences and frame.latency_ms is not None:
            self._worst.offer((0.0, frame.latency_ms), shown)

    def precision(self) -> Evaluation | None:
        """Compute the mean average precision; None without truth.

        Raises
        ------
        EvaluationError
            If pycocotools is not installed.

        """
        if not self._with_truth:
            return None
        evaluator = Evaluator(self.labels)
        for found, truth in self._with_truth:
            classes = truth.best_class_ids
            known = np.flatnonzero((classes >= 0) & (classes < len(self.labels)))
            evaluator.add(found.upright(), truth.upright().take(known))
        return evaluator.result()

    @property
    def beyond_labels(self) -> int:
        """Objects of the truth whose class is none of the labels; mAP leaves them out."""
        objects = self.reference_objects.get(TRUTH, Counter())
        return sum(
            count for class_id, count in objects.items() if not 0 <= class_id < len(self.labels)
        )

    def class_name(self, class_id: int) -> str:
        """Name a class."""
        return class_label(class_id, self.labels)

    def _add_time(self, stamp_ns: int) -> None:
        passed = 0 if self._last_stamp_ns is None else max(0, stamp_ns - self._last_stamp_ns)
        self._last_stamp_ns = stamp_ns
        self._seconds.append((self._seconds[-1] if self._seconds else 0.0) + passed / 1e9)


def _jpeg(frame: ReplayedFrame, choice: PictureChoice) -> bytes:
    image = to_bgr(frame.pixels)
    scale = choice.longest_side / max(image.shape[:2])
    if scale < 1:
        width, height = (max(1, round(scale * side)) for side in frame.pixels.size)
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, choice.jpeg_quality))
    return bytes(data)
