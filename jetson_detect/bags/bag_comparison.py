"""The answers of a replay beside recorded detections, topic by topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from jetson_detect.bags.ledger import SentFrame
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.recorded_detections import RecordedDetections
from jetson_detect.bags.replay_plan import ReplayPlan
from jetson_detect.bags.stamps import format_stamp
from jetson_detect.core.detections import Detections
from jetson_detect.core.golden_comparison import (
    DEFAULT_RULE,
    ComparisonFigures,
    GoldenComparison,
    MatchRule,
)


def golden_topics(golden: str | Path, plan: ReplayPlan) -> dict[str, str]:
    """Choose what of an earlier run is compared with: its topics by those of the images.

    A camera that has no image in the bag is among them if the earlier run has answers to it: all
    its frames are lost.

    Raises
    ------
    BagError
        If the bag of the earlier run cannot be read.

    """
    with BagReader(golden) as bag:
        lost = [camera for camera in plan.silent if camera.detections in bag.topics]
    return {camera.published: camera.detections for camera in (*plan.cameras, *lost)}


class BagComparison:
    """Compares frames as they are answered, by the stamps that they have in the bag."""

    def __init__(
        self,
        recorded: RecordedDetections,
        topics: Mapping[str, str],
        names: Sequence[str],
        rule: MatchRule = DEFAULT_RULE,
    ) -> None:
        """Begin with no frame.

        Parameters
        ----------
        recorded
            What should be found; may grow, if a frame's comes before its answer.
        topics
            Topic of that by the topic of the images, as they were sent.
        names
            Of the classes of both.
        rule
            When two objects are the same.

        """
        self._recorded = recorded
        self._topics = topics
        self._comparisons = {topic: GoldenComparison(names, rule) for topic in topics}
        self._seen: Counter[tuple[str, int, int]] = Counter()
        self._played: Counter[tuple[str, int]] = Counter()

    def play(self, topic: str, stamp_ns: int) -> None:
        """Note a frame of the bag, answered or not, once however often it is played.

        Parameters
        ----------
        topic, stamp_ns
            Of the image, the topic as it is sent and the stamp as it is in the bag, nanoseconds.

        """
        self._played[topic, stamp_ns] += 1

    def add(self, frame: SentFrame, found: Detections) -> Detections | None:
        """Compare a frame; return what it was compared with, None if there is nothing."""
        topic, stamp = frame.topic, frame.recorded_stamp
        seen = (topic, stamp, frame.loop)
        reference = self._recorded.find(self._topics[topic], stamp, self._seen[seen])
        self._seen[seen] += 1
        self._comparisons[topic].add(str(frame), stamp, found, reference)
        return reference

    def figures(self) -> dict[str, ComparisonFigures]:
        """Sum up, by the topic of the images."""
        return {topic: self._figures(topic) for topic in self._comparisons}

    def _figures(self, topic: str) -> ComparisonFigures:
        recorded = self._recorded.frames(self._topics[topic])
        absent = [
            f"{self._topics[topic]}, stamp {format_stamp(stamp)}"
            for stamp, count in recorded.items()
            for _ in range(count - self._played[topic, stamp])
        ]
        return self._comparisons[topic].figures(absent, sum(recorded.values()))
