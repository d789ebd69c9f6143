"""Rates, latencies and counts of a stream of detections."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from jetson_detect.core.detections import Detections

_REMEMBERED = 100_000
"""Latencies and times kept, an hour at 30 fps; a watch that runs for weeks must not grow."""

UNKNOWN_CLASS = "unknown"
"""Name of class -1, what ``from_detection_array`` makes of a label that it does not know."""


def class_label(class_id: int, labels: Sequence[str]) -> str:
    """Name a class; one beyond the labels by its index, a negative one ``unknown``."""
    if class_id < 0:
        return UNKNOWN_CLASS
    return labels[class_id] if class_id < len(labels) else str(class_id)


class DetectionStatistics:
    """Counts answers as they come in.  All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.frames = 0
        """Answers added, empty ones included."""
        self.empty = 0
        """Answers without a single object."""
        self.detections = 0
        """Objects in all answers."""
        self._by_class: Counter[int] = Counter()
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._received: deque[float] = deque(maxlen=_REMEMBERED)
        self._first_received: float | None = None

    def add(self, detections: Detections, latency_s: float | None, received_at: float) -> None:
        """Count one answer.

        Parameters
        ----------
        detections
            What the answer holds; each object counts for its best hypothesis.
        latency_s
            Seconds from the image to this answer, or None if unknown.
        received_at
            When the answer came, in seconds of a monotonic clock, not before the previous one.

        """
        self.frames += 1
        self.empty += not len(detections)
        self.detections += len(detections)
        if len(detections):
            self._by_class.update(detections.best_class_ids.tolist())
        if latency_s is not None:
            self._latencies.append(latency_s)
        if self._first_received is None:
            self._first_received = received_at
        self._received.append(received_at)

    def by_class(self, labels: Sequence[str]) -> dict[str, int]:
        """Return the number of objects of each class seen, most frequent first.

        Classes are named as :func:`class_label` does.
        """
        named: Counter[str] = Counter()
        for class_id, count in self._by_class.items():
            named[class_label(class_id, labels)] += count
        return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))

    def fps(self) -> float | None:
        """Return answers a second from the first to the last, or None before there are two."""
        if self._first_received is None or self._received[-1] <= self._first_received:
            return None
        return (self.frames - 1) / (self._received[-1] - self._first_received)

    def recent_fps(self, window_s: float = 2.0, now: float | None = None) -> float | None:
        """Return answers a second over the last ``window_s`` seconds.

        The window ends at ``now``, so that the rate of a stream that stopped falls to 0; without
        it, at the last answer.  None while there is too little to tell.
        """
        if self._first_received is None:
            return None
        end = self._received[-1] if now is None else now
        start = max(end - window_s, self._first_received)
        if end <= start:
            return None
        count = 0
        for received in reversed(self._received):
            if received <= start:
                break
            count += 1
        return count / (end - start)

    def latency(self, percentile: float) -> float | None:
        """Return a percentile (0 to 100) of the latencies in seconds, or None if none is known.

        Only the most recent hundred thousand count.
        """
        if not self._latencies:
            return None
        return float(np.percentile(np.fromiter(self._latencies, float), percentile))
