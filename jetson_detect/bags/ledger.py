"""Which frames were sent, which were answered, and how the answers came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, NamedTuple

from jetson_detect.bags.stamps import format_stamp
from jetson_detect.core.detections import Detections
from jetson_detect.core.statistics import DetectionStatistics

_STAMPS_KEPT = 20_000
"""Frames whose answers are told apart, minutes of several cameras: a replay that loops for days
must not grow by each of its frames."""


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
    loop: int = 0
    """How often the bag was played to its end before."""
    shift_ns: int = 0
    """How much later its stamp is than the one in the bag, nanoseconds."""

    @property
    def recorded_stamp(self) -> int:
        """``header.stamp`` as it is in the bag, nanoseconds."""
        return self.stamp - self.shift_ns

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


class Ruling(NamedTuple):
    """What the ledger says of an answer."""

    verdict: Verdict
    frame: SentFrame | None
    """The frame it belongs to, if any."""
    latency_s: float | None
    """Of an answer to a frame that was sent once, seconds."""


class _Tally:
    """What is counted, of all topics or of one."""

    def __init__(self) -> None:
        self.statistics = DetectionStatistics()
        self.verdicts: dict[Verdict, int] = dict.fromkeys(Verdict, 0)
        self.sent = 0
        self.resent = 0
        self.lost: list[tuple[int, SentFrame]] = []
        """Each with its place in the order of sending."""
        self.out_of_order = 0
        self.first_sent_at: float | None = None
        self.last_answer_at: float | None = None

    @property
    def duration_s(self) -> float | None:
        if self.first_sent_at is None or self.last_answer_at is None:
            return None
        return self.last_answer_at - self.first_sent_at


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
    first of them that waits for one.  What a bag's next pass sends again with the same stamp takes
    the place of what the last one sent.
    """

    def __init__(self) -> None:
        self._all = _Tally()
        self._by_topic: defaultdict[str, _Tally] = defaultdict(_Tally)
        self._by_stamp: dict[tuple[str, int], list[_Entry]] = {}
        self._waiting: dict[int, _Entry] = {}
        self._newest_answered: dict[str, int] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics of the frames sent so far."""
        return tuple(self._by_topic)

    def send(self, frame: SentFrame, at: float) -> int:
        """Note a frame that goes out now; returns its key."""
        key = self._all.sent
        entry = _Entry(frame, key, at)
        same = self._by_stamp.setdefault((frame.topic, frame.stamp), [])
        if same and same[-1].sent.loop != frame.loop:
            # Nobody could tell whose answer it is that still comes; taken for the former one's, it
            # would be as late as the bag is long.
            self._forget(same)
        same.append(entry)
        self._waiting[key] = entry
        if len(self._by_stamp) > _STAMPS_KEPT:
            self._forget(self._by_stamp.pop(next(iter(self._by_stamp))))
        for tally in self._tallies(frame.topic):
            tally.sent += 1
            if tally.first_sent_at is None:
                tally.first_sent_at = at
        return key

    def resend(self, key: int) -> None:
        """Note that a frame, which waits for its answer, goes out again."""
        entry = self._waiting[key]
        entry.times_sent += 1
        for tally in self._tallies(entry.sent.topic):
            tally.resent += 1

    def answer(self, topic: str, stamp: int, detections: Detections, at: float) -> Ruling:
        """Note an answer that came at ``at``."""
        entries = self._by_stamp.get((topic, stamp))
        if not entries:
            return self._rule(Verdict.UNKNOWN, topic)
        waiting = (place for place, one in enumerate(entries) if one.order in self._waiting)
        del entries[: next(waiting, len(entries) - 1)]  # a camera without stamps has but one list
        entry = entries[0]
        entry.answers += 1
        if entry.answered:
            repeated = entry.answers <= entry.times_sent
            return self._rule(Verdict.REPEATED if repeated else Verdict.DUPLICATE, topic, entry)
        entry.answered = True
        if entry.given_up:
            return self._rule(Verdict.LATE, topic, entry)
        del self._waiting[entry.order]
        is_overtaken = entry.order < self._newest_answered.get(topic, -1)
        if not is_overtaken:
            self._newest_answered[topic] = entry.order
        # Nobody can tell which of several sendings was answered.
        latency = at - entry.sent_at if entry.times_sent == 1 else None
        for tally in self._tallies(topic):
            tally.out_of_order += is_overtaken
            tally.statistics.add(detections, latency, at)
            tally.last_answer_at = at
        return self._rule(Verdict.ANSWER, topic, entry, latency)

    def is_waiting(self, key: int | None = None) -> bool:
        """Return whether a frame, or any, still waits for its answer."""
        return bool(self._waiting) if key is None else key in self._waiting

    def give_up(self, key: int) -> SentFrame:
        """Count a frame that waits as lost, and return it; an answer that still comes is late."""
        entry = self._waiting.pop(key)
        entry.given_up = True
        for tally in self._tallies(entry.sent.topic):
            tally.lost.append((key, entry.sent))
        return entry.sent

    def give_up_all(self) -> None:
        """Count every frame that waits as lost."""
        for key in list(self._waiting):
            self.give_up(key)

    def report(self, labels: Sequence[str], topic: str | None = None) -> ReplayReport:
        """Sum up all topics, or one.

        Parameters
        ----------
        labels
            Names of the classes of the detections.
        topic
            Of the images, as it was sent.

        """
        tally = self._all if topic is None else self._by_topic[topic]
        statistics = tally.statistics
        latencies = [statistics.latency(percentile) for percentile in (50, 99, 100)]
        p50, p99, longest = (None if one is None else one * 1000 for one in latencies)
        return ReplayReport(
            sent=tally.sent,
            answered=tally.verdicts[Verdict.ANSWER],
            lost=tuple(frame for _, frame in sorted(tally.lost, key=lambda one: one[0])),
            resent=tally.resent,
            late=tally.verdicts[Verdict.LATE],
            duplicates=tally.verdicts[Verdict.DUPLICATE],
            unknown=tally.verdicts[Verdict.UNKNOWN],
            out_of_order=tally.out_of_order,
            empty=statistics.empty,
            detections=statistics.detections,
            detections_by_class=statistics.by_class(labels),
            duration_s=tally.duration_s,
            fps=statistics.fps(),
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            latency_max_ms=longest,
        )

    def _forget(self, entries: list[_Entry]) -> None:
        """Drop frames whose answers come no more; those that wait are lost."""
        for entry in entries:
            if entry.order in self._waiting:
                self.give_up(entry.order)
        entries.clear()

    def _tallies(self, topic: str) -> tuple[_Tally, _Tally]:
        return self._all, self._by_topic[topic]

    def _rule(
        self,
        verdict: Verdict,
        topic: str,
        entry: _Entry | None = None,
        latency_s: float | None = None,
    ) -> Ruling:
        for tally in self._tallies(topic):
            tally.verdicts[verdict] += 1
        return Ruling(verdict, None if entry is None else entry.sent, latency_s)
