"""A bag that was run through a detector, and what may be demanded of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jetson_detect.bags.bag_comparison import BagComparison, golden_topics
from jetson_detect.bags.errors import BagError
from jetson_detect.bags.ledger import FrameLedger, ReplayReport, SentFrame
from jetson_detect.bags.played_topics import DETECTIONS
from jetson_detect.bags.recorded_detections import RecordedDetections
from jetson_detect.bags.replay_plan import ReplayPlan
from jetson_detect.bags.verdict import GOLDEN, TRUTH, Comparisons, judge
from jetson_detect.bags.writer import BagWriter
from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections
from jetson_detect.core.golden_comparison import DEFAULT_RULE, ComparisonFigures, MatchRule
from jetson_detect.core.replay_limits import Check, ReplayLimits


@dataclass(frozen=True, eq=False)
class AnsweredFrame:
    """A frame and what was found in it."""

    sent: SentFrame
    detections: Detections
    """Classes are indices into the labels of the replayed bag."""
    latency_ms: float
    data: bytes
    """The ``vision_msgs/Detection2DArray``, serialised."""
    answer_topic: str
    """Where a node would publish it."""

    @property
    def topic(self) -> str:
        """Of the image."""
        return self.sent.topic

    @property
    def number(self) -> int:
        """Counts the images of its topic from 0."""
        return self.sent.number

    @property
    def stamp_ns(self) -> int:
        """The header stamp in nanoseconds."""
        return self.sent.stamp

    def __str__(self) -> str:
        return str(self.sent)


class ReplayedBag:
    """What a detector found in the frames of a bag."""

    def __init__(
        self,
        path: Path,
        plan: ReplayPlan,
        answered: Sequence[AnsweredFrame],
        losses: Mapping[SentFrame, str],
        ledger: FrameLedger,
        names: ClassNames,
        environment: Mapping[str, str],
        is_whole: bool,
        updates_golden: bool,
        folder: Path,
    ) -> None:
        """Take what :func:`~jetson_detect.testing.bag_run.run_bag` collected."""
        self.path = path
        self.frames = tuple(answered)
        """In the order of the recording."""
        self.losses = dict(losses)
        """Frames without an answer, and why."""
        self.environment = dict(environment)
        """What ran: model, backend, runtime, device, file and precision."""
        self._plan, self._ledger, self._names = plan, ledger, names
        self._is_whole = is_whole
        self._updates_golden, self._folder = updates_golden, folder

    @property
    def labels(self) -> list[str]:
        """Names of the classes, by their index."""
        return self._names.names

    @property
    def report(self) -> ReplayReport:
        """The figures of all topics."""
        return self._ledger.report(self.labels)

    @property
    def detections(self) -> list[Detections]:
        """What was found in each frame."""
        return [frame.detections for frame in self.frames]

    def compare(
        self, golden: str | Path, rule: MatchRule = DEFAULT_RULE
    ) -> dict[str, ComparisonFigures]:
        """Compare with the detections of an earlier run, by topic of the images.

        Raises
        ------
        BagError
            If there is no such bag, or it lacks a topic.

        """
        path = self._folder / golden
        return self._compare(path, golden_topics(path, self._plan), rule)

    def compare_with_truth(
        self, *topics: str, rule: MatchRule = DEFAULT_RULE
    ) -> dict[str, ComparisonFigures]:
        """Compare with detections in the bag itself, one topic for each of the images'.

        Raises
        ------
        BagError
            If the bag lacks a topic, or there are too few of them.

        """
        images = [camera.published for camera in self._plan.cameras]
        if len(topics) != len(images):
            raise BagError(
                f"{len(topics)} topics of truth for {len(images)} image topics, "
                f"{', '.join(images)}; name one for each"
            )
        return self._compare(self.path, dict(zip(images, topics)), replace(rule, is_truth=True))

    def assert_matches(
        self, golden: str | Path, rule: MatchRule = DEFAULT_RULE, **limits: Any
    ) -> None:
        """Demand that every frame was answered as in an earlier run.

        With ``pytest --update-golden-bags`` the golden bag is made of this run instead.

        Parameters
        ----------
        golden
            The bag of the earlier run.
        rule
            When two objects are the same.
        limits
            Fields of :class:`~jetson_detect.core.replay_limits.ReplayLimits`; objects may be given
            as ``3`` or ``"2%"``.  What is left out is as in
            :data:`~jetson_detect.core.replay_limits.GOLDEN_LIMITS`.

        Raises
        ------
        AssertionError
            With the numbers and the worst frames.

        """
        __tracebackhide__ = True
        wanted = ReplayLimits.parse(limits)
        self.assert_answered()
        place = self._folder / golden
        if self._updates_golden:
            self.write(place, overwrite=True)
            return
        if not place.exists():
            raise AssertionError(f"{place}: no such bag; pytest --update-golden-bags makes it")
        figures = self.compare(place, rule)
        checks = self._judge(wanted, {GOLDEN: figures})
        hint = f"golden bag: {place}; if the new answers are right, run pytest --update-golden-bags"
        _demand(checks, hint)

    def assert_finds(self, *truth: str, rule: MatchRule = DEFAULT_RULE, **limits: Any) -> None:
        """Demand that every frame was answered, and the objects of the truth were found.

        Parameters
        ----------
        truth
            Topics of the bag, one for each of the images'.
        rule
            When two objects are the same.
        limits
            As for :meth:`assert_matches`; only what is given is checked.

        Raises
        ------
        AssertionError
            With the numbers and the worst frames.

        """
        __tracebackhide__ = True
        wanted = ReplayLimits.parse(limits)
        if wanted == ReplayLimits():
            raise TypeError(
                "assert_finds() demands nothing: give it a limit, such as min_map50=0.9"
            )
        if wanted.max_score_drift is not None:
            raise TypeError("max_score_drift is for assert_matches(): the truth has no scores")
        self.assert_answered()
        checks = self._judge(wanted, {TRUTH: self.compare_with_truth(*truth, rule=rule)})
        _demand(checks, f"truth: {', '.join(truth)} in {self.path}")

    def assert_answered(self) -> None:
        """Demand that no frame was lost."""
        __tracebackhide__ = True
        if self.losses:
            lines = [f"{frame}: {reason}" for frame, reason in self.losses.items()]
            sent = len(self.frames) + len(lines)
            raise AssertionError(f"{len(lines)} of {sent} frames were lost:\n" + "\n".join(lines))

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the detections to a bag, at the images' log times.

        Raises
        ------
        BagError
            If something is in the way, or the disk does not take it.

        """
        with BagWriter(self._folder / path, overwrite=overwrite) as bag:
            for key, value in self.environment.items():
                bag.note(f"replay {key}", value)
            for camera in self._plan.cameras:
                bag.add_topic(camera.detections, DETECTIONS)
            for frame in self.frames:
                bag.write(frame.answer_topic, frame.sent.recorded_at, frame.data)

    def _compare(
        self, bag: str | Path, topics: Mapping[str, str], rule: MatchRule
    ) -> dict[str, ComparisonFigures]:
        recorded = RecordedDetections.of_bag(bag, topics.values(), self._names)
        comparison = BagComparison(recorded, topics, self.labels, rule)
        for sent in (*(frame.sent for frame in self.frames), *self.losses):
            comparison.play(sent.topic, sent.recorded_stamp)
        for frame in self.frames:
            comparison.add(frame.sent, frame.detections)
        return comparison.figures()

    def _judge(self, limits: ReplayLimits, comparisons: Comparisons) -> Iterator[Check]:
        ledger, labels = self._ledger, self.labels
        by_topic = {topic: ledger.report(labels, topic) for topic in ledger.topics}
        # That each frame was answered is demanded before, with the reasons.
        return judge(limits, by_topic, comparisons, must_answer=False, is_whole=self._is_whole)


def _demand(checks: Iterable[Check], hint: str) -> None:
    __tracebackhide__ = True
    failed = [str(check) for check in checks if not check.passed]
    if failed:
        raise AssertionError("\n".join([*failed, hint]))
