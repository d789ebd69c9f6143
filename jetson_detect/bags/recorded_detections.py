"""Detections of a bag, found again by topic and stamp: an earlier run, or the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from rclpy.serialization import deserialize_message
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.played_topics import DETECTIONS
from jetson_detect.bags.reader import BagMessage, BagReader
from jetson_detect.bags.stamps import StampError, read_stamp
from jetson_detect.conversion.detections import named_detections
from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections


def read_detections(data: bytes, names: ClassNames) -> Detections:
    """Read a serialised ``Detection2DArray``; classes become indices into ``names``.

    Names that were not known yet are from then on.
    """
    return named_detections(deserialize_message(data, Detection2DArray), names)


class RecordedDetections:
    """What was found, or is there, in the frames of some topics."""

    def __init__(self, names: ClassNames) -> None:
        """Begin with nothing; classes get their indices from ``names``."""
        self._names = names
        self._found: defaultdict[tuple[str, int], list[Detections]] = defaultdict(list)

    def __len__(self) -> int:
        """Messages added."""
        return sum(map(len, self._found.values()))

    def frames(self, topic: str) -> dict[int, int]:
        """Return the stamps of a topic, nanoseconds, and how many messages have each, in order."""
        return {
            stamp: len(found)
            for (one, stamp), found in sorted(self._found.items())
            if one == topic and found
        }

    @classmethod
    def of_bag(
        cls, path: str | Path, topics: Collection[str], names: ClassNames
    ) -> RecordedDetections:
        """Read all messages of some topics.

        Raises
        ------
        BagError
            If the bag cannot be read, or lacks a topic, or one is of another type.

        """
        recorded = cls(names)
        with BagReader(path) as bag:
            check_detections(bag, topics)
            recorded.add_all(bag.messages(topics))
        return recorded

    def add(self, message: BagMessage) -> None:
        """Add a message.

        Raises
        ------
        BagError
            If it does not start with a header.

        """
        try:
            stamp = read_stamp(message.data)
        except StampError as error:
            raise BagError(f"{message.topic}: a message has no stamp: {error}") from error
        self._found[message.topic, stamp].append(read_detections(message.data, self._names))

    def add_all(self, messages: Iterable[BagMessage]) -> None:
        """Add messages; see :meth:`add`."""
        for message in messages:
            self.add(message)

    def find(self, topic: str, stamp_ns: int, occurrence: int = 0) -> Detections | None:
        """Return the detections of a frame, None if there are none.

        Of frames that share a stamp, as those of a camera that sets none, ``occurrence`` counts
        which one is meant.
        """
        found = self._found.get((topic, stamp_ns), ())
        return found[occurrence] if occurrence < len(found) else None


def check_detections(bag: BagReader, topics: Iterable[str]) -> None:
    """Check that a bag has detections on these topics.

    Raises
    ------
    BagError
        Naming the topics that it has.

    """
    for topic in topics:
        known = bag.topics.get(topic)
        if known is None or known.type_name != DETECTIONS:
            what = "has no topic" if known is None else f"has {known.type_name} on"
            raise BagError(
                f"{bag.path}: {what} {topic}, where {DETECTIONS} is expected; it has\n"
                f"{bag.describe_topics()}"
            )
