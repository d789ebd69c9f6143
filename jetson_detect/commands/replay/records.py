"""What a replay leaves behind while it runs: the bag, the comparisons, the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from jetson_detect.bags.answers import Answer
from jetson_detect.bags.bag_comparison import BagComparison, golden_topics
from jetson_detect.bags.frames import Frame
from jetson_detect.bags.ledger import SentFrame
from jetson_detect.bags.played_topics import DETECTIONS
from jetson_detect.bags.reader import BagMessage, BagReader
from jetson_detect.bags.recorded_detections import RecordedDetections
from jetson_detect.bags.recorded_image import read_recorded_image
from jetson_detect.bags.replay_plan import ReplayPlan
from jetson_detect.bags.verdict import GOLDEN, TRUTH
from jetson_detect.bags.writer import BagWriter
from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections
from jetson_detect.core.golden_comparison import ComparisonFigures, MatchRule
from jetson_detect.report.html_report import HtmlReport
from jetson_detect.report.replayed_frame import ReplayedFrame


class ReplayRecords:
    """Takes messages as they are read, and answers as they come."""

    def __init__(
        self,
        bag: BagReader,
        plan: ReplayPlan,
        names: ClassNames,
        rule: MatchRule,
        golden: Path | None,
    ) -> None:
        """Read the golden bag, if there is one.

        Raises
        ------
        BagError
            If it cannot be read, or lacks a topic.

        """
        self.names = names
        self.rule = rule
        """When an object and one that it is compared with are the same."""
        self._bag, self._plan = bag, plan
        self._output: BagWriter | None = None
        self._copied: frozenset[str] = frozenset()
        self._html: HtmlReport | None = None
        self._truth: BagComparison | None = None
        self._golden: BagComparison | None = None
        self._truths = RecordedDetections(names)
        self._published = {camera.recorded: camera.published for camera in plan.cameras}
        if plan.truths:
            of_truth = replace(rule, is_truth=True)
            self._truth = BagComparison(self._truths, plan.truths, names.names, of_truth)
        if golden is not None:
            topics = golden_topics(golden, plan)
            recorded = RecordedDetections.of_bag(golden, topics.values(), names)
            self._golden = BagComparison(recorded, topics, names.names, rule)

    def write_to(self, output: BagWriter, keep_all: bool) -> None:
        """Write answers to a bag, and with ``keep_all`` all other topics of the one played.

        Raises
        ------
        BagError
            If a topic's type is neither defined in the bag nor installed.

        """
        self._output = output
        answers = [camera.detections for camera in self._plan.cameras]
        for topic in answers:
            output.add_topic(topic, DETECTIONS)
        if keep_all:
            kept = [topic for topic in self._bag.topics.values() if topic.name not in answers]
            for one in kept:
                output.add_copy(one)
            self._copied = frozenset(one.name for one in kept)

    def show_in(self, html: HtmlReport) -> None:
        """Add each frame to a page."""
        self._html = html

    def messages(self) -> Iterator[BagMessage]:
        """Read what is played or compared with; everything else is copied on the way.

        Raises
        ------
        BagError
            If the bag is damaged.

        """
        played = set(self._plan.recorded)
        for message in self._bag.messages(played | self._copied):
            if self._output is not None and message.topic in self._copied:
                self._output.write(message.topic, message.timestamp, message.data)
            if message.topic in played:
                yield message

    def noted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass frames on, and note which there are and the truth that comes with them."""
        truths = set(self._plan.truths.values())
        for frame in frames:
            if frame.loop == 0:
                for comparison in filter(None, (self._golden, self._truth)):
                    comparison.play(self._published[frame.image.topic], frame.stamp)
                for message in frame.companions:
                    if message.topic in truths:
                        self._truths.add(message)
            yield frame

    def take(self, answer: Answer) -> None:
        """Write, compare and show an answer."""
        sent = answer.sent
        if self._output is not None:
            self._output.write(answer.camera.detections, sent.recorded_at, answer.data)
        truth = self._truth.add(sent, answer.detections) if self._truth is not None else None
        golden = self._golden.add(sent, answer.detections) if self._golden is not None else None
        if self._html is not None:
            self._show(self._html, answer, truth, golden)

    def lose(self, frame: SentFrame) -> None:
        """Note a frame that was given up."""
        if self._html is not None:
            self._html.add_lost(frame.topic)

    def figures(self) -> dict[str, Mapping[str, ComparisonFigures]]:
        """Sum up the comparisons: by ``golden`` and ``truth``, then by topic of the images."""
        made = {GOLDEN: self._golden, TRUTH: self._truth}
        return {name: one.figures() for name, one in made.items() if one is not None}

    def _show(
        self,
        html: HtmlReport,
        answer: Answer,
        truth: Detections | None,
        golden: Detections | None,
    ) -> None:
        pixels = answer.pixels
        if pixels is None:
            if answer.image is None:
                return
            pixels = read_recorded_image(answer.image)
        html.add(
            ReplayedFrame(
                topic=answer.sent.topic,
                stamp_ns=answer.sent.stamp,
                pixels=pixels,
                detections=answer.detections,
                labels=self.names.names,
                truth=truth,
                golden=golden,
                latency_ms=answer.latency_ms,
            )
        )
