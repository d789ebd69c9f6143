"""The books of an observer: what was answered, how fast and how well.

:class:`WatchLog` counts, pairs answers with ground truth and images by their stamps, and sums up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections
from jetson_detect.core.evaluation import Evaluation, Evaluator
from jetson_detect.core.stamp_matching import StampMatcher
from jetson_detect.core.stamp_time import SECOND_NS
from jetson_detect.core.statistics import DetectionStatistics

STAMP_PLAUSIBLE_S = 60.0
"""A stamp farther from now than this is of another clock and says nothing about latency."""

_ANSWER, _TRUTH, _IMAGE = "answer", "truth", "image"

_PAIRS_WAITING = 256
_IMAGES_WAITING = 32
"""Images that wait for their answer: a second at 30 fps, 200 MB at 1080p."""
_PAIRS_KEPT = 10_000
"""Answers that accuracy is computed from, the newest: five minutes at 30 fps."""
_EVALUATION_SHARE = 0.1
"""Share of the time that computing the accuracy may take while answers come in."""
_ANY_OBJECT = Detections.from_best(
    np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int32)
)


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """An image with its answer."""

    number: int
    """Of the answer, from 0."""
    image: Any
    """As it was given to :meth:`WatchLog.add_image`."""
    detections: Detections
    truth: Detections | None


@dataclass(frozen=True)
class WatchSummary:
    """What has come so far."""

    frames: int
    """Answers, each frame counted once."""
    empty: int
    """Answers without an object."""
    repeated: int
    """Answers to a frame that had been answered already."""
    detections: int
    by_class: Mapping[str, int]
    """Objects found by class, most frequent first."""
    fps: float | None
    recent_fps: float | None
    latency_p50_s: float | None
    latency_p99_s: float | None
    """From the image's stamp to the arrival of its answer; None without plausible stamps."""
    compared: int
    """Answers that were compared with ground truth."""
    accuracy: Evaluation | None
    """None without ground truth."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        accuracy = self.accuracy
        return {
            "frames": self.frames,
            "empty": self.empty,
            "repeated": self.repeated,
            "detections": self.detections,
            "detections_by_class": dict(self.by_class),
            "fps": self.fps,
            "latency_p50_ms": _milliseconds(self.latency_p50_s),
            "latency_p99_ms": _milliseconds(self.latency_p99_s),
            "compared": self.compared,
            "map50": None if accuracy is None else accuracy.map50,
            "map75": None if accuracy is None else accuracy.map75,
            "map50_95": None if accuracy is None else accuracy.map50_95,
            "ap50_by_class": None if accuracy is None else dict(accuracy.ap50_by_class),
            "ap75_by_class": None if accuracy is None else dict(accuracy.ap75_by_class),
        }


class WatchLog:
    """Keeps account of answers, ground truth and images.

    One thread may add while another asks for the summary.
    """

    def __init__(self, *, with_truth: bool = False, with_images: bool = False) -> None:
        """Open the books.

        Args:
            with_truth: ground truth will be added, so images wait for it as well.
            with_images: images will be added.

        Raises
        ------
        EvaluationError
            If accuracy cannot be computed because a library is missing.

        """
        if with_truth:
            # The first evaluation imports much; answers should not have to wait for that.
            _evaluation([(_ANY_OBJECT, _ANY_OBJECT)], ("any",))
        self.names = ClassNames()
        self._statistics = DetectionStatistics()
        self._repeated = 0
        self._recent: deque[int] = deque(maxlen=_IMAGES_WAITING)
        self._pair_matcher = StampMatcher({_ANSWER, _TRUTH}, capacity=_PAIRS_WAITING)
        self._image_matcher = StampMatcher(
            {_ANSWER, _IMAGE}, {_TRUTH} if with_truth else (), capacity=_IMAGES_WAITING
        )
        self._with_truth, self._with_images = with_truth, with_images
        self._pairs: deque[tuple[Detections, Detections]] = deque(maxlen=_PAIRS_KEPT)
        self._compared = 0
        self._heard: dict[str, int] = {_TRUTH: 0, _IMAGE: 0}
        self._recent_parts: deque[tuple[str, int]] = deque(maxlen=2 * _IMAGES_WAITING)
        self._sent_again: deque[int] = deque(maxlen=_IMAGES_WAITING)
        self._accuracy: Evaluation | None = None
        self._evaluated = 0
        self._evaluation_s = 0.0
        self._evaluation_ended = float("-inf")
        self._lock = threading.Lock()

    @property
    def frames(self) -> int:
        """Answers so far, each frame counted once."""
        return self._statistics.frames

    @property
    def truths(self) -> int:
        """Messages of ground truth so far."""
        return self._heard[_TRUTH]

    @property
    def images(self) -> int:
        """Images so far."""
        return self._heard[_IMAGE]

    @property
    def uncompared(self) -> int:
        """Answers whose ground truth has not come."""
        return self._statistics.frames - self._compared if self._with_truth else 0

    def add_answer(
        self, stamp_ns: int, detections: Detections, now_ns: int, received_at: float
    ) -> list[SeenFrame]:
        """Add what the detector says.

        Args:
            stamp_ns: of the image, nanoseconds; 0 is none.
            detections: its classes are indices into ``names``.
            now_ns: of the clock that stamped the image.
            received_at: seconds of a monotonic clock.

        Returns
        -------
        The images that have all their parts now.

        """
        with self._lock:
            if stamp_ns and stamp_ns in self._recent:
                self._repeated += 1
                return []
            self._recent.append(stamp_ns)
            number = self._statistics.frames
            latency = (now_ns - stamp_ns) / SECOND_NS
            implausible = stamp_ns == 0 or abs(latency) > STAMP_PLAUSIBLE_S
            # Of a frame that was sent again nobody can tell which sending was answered.
            known = None if implausible or stamp_ns in self._sent_again else latency
            self._statistics.add(detections, known, received_at)
            return self._match(_ANSWER, stamp_ns, (number, detections))

    def add_truth(self, stamp_ns: int, truth: Detections) -> list[SeenFrame]:
        """Add what is in the image; as :meth:`add_answer`."""
        with self._lock:
            self._hear(_TRUTH, stamp_ns)
            return self._match(_TRUTH, stamp_ns, truth)

    def add_image(self, stamp_ns: int, image: Any) -> list[SeenFrame]:
        """Add the image itself, of any type; as :meth:`add_answer`."""
        with self._lock:
            self._hear(_IMAGE, stamp_ns)
            return self._match(_IMAGE, stamp_ns, image)

    def remaining_images(self) -> list[SeenFrame]:
        """Return the images whose ground truth has not come; no more is expected."""
        with self._lock:
            return [_seen_frame(each) for each in self._image_matcher.flush()]

    def summary(self, now: float | None = None, *, final: bool = False) -> WatchSummary:
        """Sum up.

        Args:
            now: seconds of the monotonic clock, so that the rate falls when nothing comes.
            final: compute the accuracy anew however long it takes.  Otherwise it may be a little
                old.
        """
        self._evaluate(final)
        with self._lock:
            statistics = self._statistics
            return WatchSummary(
                frames=statistics.frames,
                empty=statistics.empty,
                repeated=self._repeated,
                detections=statistics.detections,
                by_class=statistics.by_class(self.names.names),
                fps=statistics.fps(),
                recent_fps=statistics.recent_fps(now=now),
                latency_p50_s=statistics.latency(50),
                latency_p99_s=statistics.latency(99),
                compared=self._compared,
                accuracy=self._accuracy,
            )

    def _hear(self, kind: str, stamp_ns: int) -> None:
        self._heard[kind] += 1
        if (kind, stamp_ns) in self._recent_parts:
            self._sent_again.append(stamp_ns)
        else:
            self._recent_parts.append((kind, stamp_ns))

    def _match(self, kind: str, stamp_ns: int, item: Any) -> list[SeenFrame]:
        if self._with_truth and kind != _IMAGE:
            for pair in self._pair_matcher.add(kind, stamp_ns, item):
                self._pairs.append((pair[_ANSWER][1], pair[_TRUTH]))
                self._compared += 1
        if not self._with_images:
            return []
        return [_seen_frame(each) for each in self._image_matcher.add(kind, stamp_ns, item)]

    def _evaluate(self, final: bool) -> None:
        """Compute the accuracy, outside the lock: answers must not wait for it."""
        with self._lock:
            if self._compared == self._evaluated:
                return
            pause = time.monotonic() - self._evaluation_ended
            if not final and pause * _EVALUATION_SHARE < self._evaluation_s:
                return
            pairs, compared, names = list(self._pairs), self._compared, tuple(self.names.names)
        start = time.monotonic()
        accuracy = _evaluation(pairs, names)
        with self._lock:
            self._accuracy, self._evaluated = accuracy, compared
            self._evaluation_ended = time.monotonic()
            self._evaluation_s = self._evaluation_ended - start


def _evaluation(
    pairs: Iterable[tuple[Detections, Detections]], names: tuple[str, ...]
) -> Evaluation:
    evaluator = Evaluator(names)
    for answer, truth in pairs:
        evaluator.add(answer.upright(), truth.upright())
    return evaluator.result()


def _seen_frame(parts: Mapping[str, Any]) -> SeenFrame:
    number, detections = parts[_ANSWER]
    return SeenFrame(number, parts[_IMAGE], detections, parts.get(_TRUTH))


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000.0
