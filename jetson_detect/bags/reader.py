"""Read bags: sqlite3 or MCAP, compressed or not, as ``ros2 bag`` or rosbags wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.rosbag2 import Reader

from jetson_detect.bags.errors import BagError
from jetson_detect.core.closing import Closing

STORAGE_SUFFIXES = (".mcap", ".db3")
"""Of the files that a bag consists of."""


class BagMessage(NamedTuple):
    """One recorded message."""

    topic: str
    type_name: str
    """As ``sensor_msgs/msg/Image``."""
    timestamp: int
    """When it was recorded, in nanoseconds."""
    data: bytes
    """Serialised, as it was on the wire."""


@dataclass(frozen=True)
class BagTopic:
    """What a bag holds of one topic."""

    name: str
    type_name: str
    count: int
    """Number of messages."""
    definition: str = ""
    """Text of the type, its parts included; empty where the bag does not say."""
    type_hash: str = ""
    """REP 2011's hash of it; empty where the bag does not say."""
    qualities: tuple[Any, ...] = ()
    """Quality of service of its publishers, as the library has it."""


class BagReader(Closing):
    """An open bag: a rosbag2 folder, or one ``.mcap`` or ``.db3`` file out of it.

    Also reads what older distributions recorded, whose bags carry no message definitions.  Use it
    as a context manager.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a bag.

        Raises
        ------
        BagError
            If there is none at ``path`` or it cannot be read.

        """
        self.path = Path(path).expanduser()
        _check_is_bag(self.path)
        try:
            self._reader: Any = Reader(self.path)
            self._reader.open()
        except Exception as error:  # a damaged file makes the library raise about anything
            raise BagError(_why_not(self.path, error)) from error
        self.topics: Mapping[str, BagTopic] = {
            name: _topic(name, info) for name, info in self._reader.topics.items()
        }
        """By name, in alphabetical order."""

    def topics_of_type(self, type_name: str) -> list[str]:
        """Return the names of the topics of a type, in alphabetical order."""
        return [topic.name for topic in self.topics.values() if topic.type_name == type_name]

    def describe_topics(self) -> str:
        """Return one indented line a topic, for messages to people."""
        if not self.topics:
            return "  (no topics)"
        width = max(len(name) for name in self.topics)
        return "\n".join(
            f"  {topic.name:{width}}  {topic.type_name}  {topic.count} messages"
            for topic in self.topics.values()
        )

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Iterate over the messages of some topics, or of all, in the order of recording.

        Raises
        ------
        BagError
            If a topic is not in the bag, or the bag turns out to be damaged or to hold less than
            it says.

        """
        wanted = set(self.topics if topics is None else topics)
        if missing := sorted(wanted - set(self.topics)):
            raise BagError(
                f"{self.path}: has no topic {', '.join(missing)}; it has\n{self.describe_topics()}"
            )
        return self._messages(wanted)

    def _messages(self, wanted: set[str]) -> Iterator[BagMessage]:
        # The files' own connections, not those of metadata.yaml: the library leaves out what does
        # not agree between the two to the last detail of the quality of service, and ros2 bag
        # writes bags in which it does not.
        storage = self._reader.storage
        files = getattr(storage, "storages", [storage])
        connections = [one for file in files for one in file.connections if one.topic in wanted]
        if not connections:
            return  # an empty choice means "everything" to the library
        seen: Counter[str] = Counter()
        recorded = self._reader.messages(connections=connections)
        while True:
            try:
                connection, timestamp, data = next(recorded)
            except StopIteration:
                break
            except Exception as error:  # a damaged file makes the library raise about anything
                raise BagError(_why_not(self.path, error)) from error
            seen[connection.topic] += 1
            yield BagMessage(connection.topic, connection.msgtype, timestamp, bytes(data))
        # The counts are metadata.yaml's, the messages are the files'.
        unread = sorted(name for name in wanted if self.topics[name].count and not seen[name])
        if unread:
            raise BagError(
                f"{self.path}: metadata.yaml tells of {', '.join(unread)}, but no message of it "
                "could be found; rebuild the metadata with `ros2 bag reindex`"
            )

    def close(self) -> None:
        """Close the bag; may be called twice."""
        if self._reader.is_open:
            self._reader.close()


def _topic(name: str, info: Any) -> BagTopic:
    connections = info.connections
    return BagTopic(
        name,
        info.msgtype or "several types",
        info.msgcount,
        str(info.msgdef.data),
        next((one.digest for one in connections if one.digest), ""),
        tuple(connections[0].ext.offered_qos_profiles) if connections else (),
    )


def _check_is_bag(path: Path) -> None:
    if not path.exists():
        raise BagError(f"{path}: no such bag")
    if path.is_dir():
        if (path / "metadata.yaml").is_file():
            return
        files = sorted(file for file in path.iterdir() if file.suffix in STORAGE_SUFFIXES)
        if files:
            raise BagError(
                f"{path}: has no metadata.yaml, as if its recording was cut off; "
                f"open {files[0]} itself, or make one with `ros2 bag reindex`"
            )
        raise BagError(
            f"{path}: is no bag; a bag is a folder with a metadata.yaml, "
            f"or a file that ends in {' or '.join(STORAGE_SUFFIXES)}"
        )
    if path.name == "metadata.yaml":
        raise BagError(f"{path}: open the folder instead, {path.parent}")
    if path.suffix == ".bag":
        raise BagError(f"{path}: is a ROS 1 bag; convert it, rosbags-convert --src … --dst …")
    if path.suffix == ".zstd":
        raise BagError(f"{path}: is a compressed part of a bag; open the folder, {path.parent}")
    if path.suffix not in STORAGE_SUFFIXES:
        raise BagError(
            f"{path}: a bag is a folder with a metadata.yaml, "
            f"or a file that ends in {' or '.join(STORAGE_SUFFIXES)}"
        )


def _why_not(path: Path, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return (
        f"{path}: cannot be read: {reason}\n"
        "If the recording was cut off, `mcap recover` or `sqlite3 … .recover` may rescue it."
    )
