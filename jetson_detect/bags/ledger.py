"""Which frames were sent, which were answered, and how the answers came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from jetson_detect.bags.stamps import format_stamp
from jetson_detect.core.detections import Detections
from jetson_detect.core.statistics import DetectionStatistics


@dataclass(frozen=True)
class SentFrame:
    """A frame that went out."""

    topic: str
    number: int
    """Counts the images of its topic from 0, as they are in the bag."""
    stamp: int
    """``header.stamp`` as it was sent, nanoseconds."""
    recorded_at: int
    """When it was recorded, nanoseconds; when it was sent, if stamps are replaced."""

    def __str__(self) -> str:
        return f"frame {self.number} of {self.topic}, stamp {format_stamp(self.stamp)}"


class Verdict(str, Enum):
    """What an answer is."""

    ANSWER = "answer"
    """The first to its frame."""
    REPEATED = "repeated"
    """Another one to a frame that was sent more than once: as many come as were sent."""
    DUPLICATE = "duplicate"
    """More answers than the frame was sent times."""
    LATE = "late"
    """To a frame that had been given up."""
    UNKNOWN = "unknown"
    """Of a stamp that was not sent: another camera's, or the stamp was changed on the way."""


@dataclass(frozen=True)
class ReplayReport:
    """What came back of a replay."""

    sent: int
    """Frames sent, each counted once."""
    answered: int
    """Frames answered in time."""
    lost: tuple[SentFrame, ...]
    """Frames not answered in time, in the order of sending."""
    resent: int
    """How often a frame was sent again."""
    late: int
    duplicates: int
    unknown: int
    """Answers by :class:`Verdict`."""
    out_of_order: int
    """Answers to a frame sent earlier than one of the same topic already answered."""
    empty: int
    """Answers without a single object."""
    detections: int
    """Objects in all answers."""
    detections_by_class: dict[str, int]
    """Objects by ``class_id``, most frequent first."""
    duration_s: float | None
    """From the first frame sent to the last answer, seconds."""
    fps: float | None
    """Answers a second, from the first to the last answer."""
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    latency_max_ms: float | None
    """From sending to receipt, of frames that were sent once."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; stamps are strings of seconds with nine decimals."""
        values = asdict(self)
        values["lost"] = [
            {"topic": frame.topic, "frame": frame.number, "stamp": format_stamp(frame.stamp)}
            for frame in self.lost
        ]
        return values


class _Entry:
    __slots__ = ("answered", "answers", "given_up", "order", "sent", "sent_at", "times_sent")

    def __init__(self, sent: SentFrame, order: int, at: float) -> None:
        self.sent = sent
        self.order = order
        self.sent_at = at
        self.times_sent = 1
        self.answers = 0
        self.answered = False
        self.given_up = False


class FrameLedger:
    """Keeps account of frames and answers; all times are seconds of one monotonic clock.

    An answer belongs to the frame of the same topic and stamp; where frames share a stamp, to the
    first of them that waits for one.
    """

    def __init__(self) -> None:
        self.statistics = DetectionStatistics()
        """Of the answers that are the first to their frame and in time."""
        self._entries: list[_Entry] = []
        self._by_stamp: defaultdict[tuple[str, int], list[_Entry]] = defaultdict(list)
        self._waiting: dict[int, _Entry] = {}
        self._newest_answered: dict[str, int] = {}
        self._verdicts: dict[Verdict, int] = dict.fromkeys(Verdict, 0)
        self._out_of_order = 0
        self._last_answer_at: float | None = None

    def send(self, frame: SentFrame, at: float) -> int:
        """Note a frame that goes out now; returns its key."""
        key = len(self._entries)
        entry = _Entry(frame, key, at)
        self._entries.append(entry)
        self._by_stamp[frame.topic, frame.stamp].append(entry)
        self._waiting[key] = entry
        return key

    def resend(self, key: int) -> None:
        """Note that a frame goes out again."""
        self._entries[key].times_sent += 1

    def answer(
        self, topic: str, stamp: int, detections: Detections, at: float
    ) -> tuple[Verdict, SentFrame | None]:
        """Note an answer that came at ``at``.

        Returns
        -------
        What it is, and the frame it belongs to, if any.

        """
        entries = self._by_stamp.get((topic, stamp))
        if not entries:
            return self._count(Verdict.UNKNOWN), None
        entry = next((one for one in entries if one.order in self._waiting), entries[-1])
        entry.answers += 1
        if entry.answered:
            repeated = entry.answers <= entry.times_sent
            return self._count(Verdict.REPEATED if repeated else Verdict.DUPLICATE), entry.sent
        entry.answered = True
        if entry.given_up:
            return self._count(Verdict.LATE), entry.sent
        del self._waiting[entry.order]
        if entry.order < self._newest_answered.get(topic, -1):
            self._out_of_order += 1
        else:
            self._newest_answered[topic] = entry.order
        # Nobody can tell which of several sendings was answered.
        latency = at - entry.sent_at if entry.times_sent == 1 else None
        self.statistics.add(detections, latency, at)
        self._last_answer_at = at
        return self._count(Verdict.ANSWER), entry.sent

    def is_waiting(self, key: int | None = None) -> bool:
        """Return whether a frame, or any, still waits for its answer."""
        return bool(self._waiting) if key is None else key in self._waiting

    def give_up(self, key: int) -> SentFrame:
        """Count a frame that waits as lost, and return it; an answer that still comes is late."""
        entry = self._waiting.pop(key)
        entry.given_up = True
        return entry.sent

    def give_up_all(self) -> None:
        """Count every frame that waits as lost."""
        for key in list(self._waiting):
            self.give_up(key)

    def report(self, labels: Sequence[str]) -> ReplayReport:
        """Sum up; ``labels`` names the classes of the detections."""
        latencies = [self.statistics.latency(percentile) for percentile in (50, 99, 100)]
        p50, p99, longest = (None if one is None else one * 1000 for one in latencies)
        duration = None
        if self._last_answer_at is not None:
            duration = self._last_answer_at - self._entries[0].sent_at
        return ReplayReport(
            sent=len(self._entries),
            answered=self._verdicts[Verdict.ANSWER],
            lost=tuple(entry.sent for entry in self._entries if entry.given_up),
            resent=sum(entry.times_sent - 1 for entry in self._entries),
            late=self._verdicts[Verdict.LATE],
            duplicates=self._verdicts[Verdict.DUPLICATE],
            unknown=self._verdicts[Verdict.UNKNOWN],
            out_of_order=self._out_of_order,
            empty=self.statistics.empty,
            detections=self.statistics.detections,
            detections_by_class=self.statistics.by_class(labels),
            duration_s=duration,
            fps=self.statistics.fps(),
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            latency_max_ms=longest,
        )

    def _count(self, verdict: Verdict) -> Verdict:
        self._verdicts[verdict] += 1
        return verdict
