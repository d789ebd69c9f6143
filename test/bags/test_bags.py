"""Bags that we write, that others write, and that are broken."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from jetson_detect.bags.errors import BagError, BagExistsError
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.types import message_definition
from jetson_detect.bags.writer import BagWriter

STRING, HEADER = "std_msgs/msg/String", "std_msgs/msg/Header"
STORAGES = ("mcap", "sqlite3")
MESSAGES = [
    ("/words", STRING, 1_000, b"\x00\x01\x00\x00\x02\x00\x00\x00a\x00"),
    ("/heads", HEADER, 2_000, b"\x00\x01\x00\x00" + bytes(range(12)) + b"\x00"),
    ("/words", STRING, 3_000, b"\x00\x01\x00\x00\x02\x00\x00\x00b\x00"),
]


def write(path: Path, storage: str = "mcap", overwrite: bool = False, messages=MESSAGES) -> None:
    with BagWriter(path, storage, overwrite) as bag:
        bag.add_topic("/words", STRING)
        bag.add_topic("/heads", HEADER)
        bag.add_topic("/silent", STRING)
        for topic, _, timestamp, data in messages:
            bag.write(topic, timestamp, data)


def read(path: Path, *topics: str):
    with BagReader(path) as bag:
        return list(map(tuple, bag.messages(topics or None)))


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_reads_as_it_was_written(tmp_path, storage):
    write(tmp_path / "deep" / "bag", storage)
    assert read(tmp_path / "deep" / "bag") == MESSAGES
    assert read(tmp_path / "deep" / "bag", "/heads") == [MESSAGES[1]]
    assert read(tmp_path / "deep" / "bag", "/silent") == []
    with BagReader(tmp_path / "deep" / "bag") as bag:
        topics = [(topic.name, topic.type_name, topic.count) for topic in bag.topics.values()]
        assert topics == [("/heads", HEADER, 1), ("/silent", STRING, 0), ("/words", STRING, 2)]
        assert bag.topics_of_type(STRING) == ["/silent", "/words"]


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", ".mcap"), ("sqlite3", ".db3")])
def test_a_single_storage_file_is_a_bag_too(tmp_path, storage, suffix):
    write(tmp_path / "bag", storage)
    assert read(tmp_path / "bag" / f"bag{suffix}") == MESSAGES


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_without_messages_can_be_read(tmp_path, storage):
    write(tmp_path / "bag", storage, messages=[])
    assert read(tmp_path / "bag") == []


@pytest.mark.parametrize(
    ("plugin", "mode"),
    [
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
    ],
)
def test_compressed_bags_are_read(tmp_path, plugin, mode):
    writer = Writer(tmp_path / "bag", version=8, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, type_name in (("/words", STRING), ("/heads", HEADER)):
            definition, type_hash = message_definition(type_name)
            connections[topic] = writer.add_connection(
                topic, type_name, msgdef=definition, rihs01=type_hash
            )
        for topic, _, timestamp, data in MESSAGES:
            writer.write(connections[topic], timestamp, data)
    assert read(tmp_path / "bag") == MESSAGES


# Numbers instead of names for the policies, a text inside the text, no definitions, no hashes;
# metadata.yaml and storage write an infinite duration differently.
FOXY_QUALITY = r"- history: 3\n  depth: 0\n  reliability: 1\n  durability: 2\n  deadline:\n    sec: {infinite}\n    nsec: 0\n  lifespan:\n    sec: 0\n    nsec: 0\n  liveliness: 1\n  liveliness_lease_duration:\n    sec: 0\n    nsec: 0\n  avoid_ros_namespace_conventions: false"  # noqa: E501
FOXY_METADATA = """\
rosbag2_bagfile_information:
  version: 4
  storage_identifier: sqlite3
  relative_file_paths:
    - drive_0.db3
  duration:
    nanoseconds: 2000
  starting_time:
    nanoseconds_since_epoch: 1000
  message_count: 2
  topics_with_message_count:
    - topic_metadata:
        name: /words
        type: std_msgs/msg/String
        serialization_format: cdr
        offered_qos_profiles: "{quality}"
      message_count: 2
  compression_format: ""
  compression_mode: ""
"""


def test_a_bag_recorded_by_ros2_bag_of_foxy_is_read(tmp_path):
    bag = tmp_path / "drive"
    bag.mkdir()
    quality = FOXY_QUALITY.format(infinite=0)
    (bag / "metadata.yaml").write_text(FOXY_METADATA.format(quality=quality))
    with sqlite3.connect(bag / "drive_0.db3") as storage:
        storage.executescript(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY,name TEXT NOT NULL,type TEXT NOT NULL,"
            "serialization_format TEXT NOT NULL,offered_qos_profiles TEXT NOT NULL);"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY,topic_id INTEGER NOT NULL,"
            "timestamp INTEGER NOT NULL, data BLOB NOT NULL);"
            "CREATE INDEX timestamp_idx ON messages (timestamp ASC);"
        )
        quality = FOXY_QUALITY.format(infinite=2147483647).replace(r"\n", "\n")
        storage.execute("INSERT INTO topics VALUES (1,'/words',?,'cdr',?)", (STRING, quality))
        for _, _, timestamp, data in (MESSAGES[2], MESSAGES[0]):
            storage.execute(
                "INSERT INTO messages (topic_id,timestamp,data) VALUES (1,?,?)", (timestamp, data)
            )
    storage.close()
    assert read(bag) == [MESSAGES[0], MESSAGES[2]]


def test_a_topic_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    write(tmp_path / "bag")
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError) as caught:
        bag.messages(["/heads", "/heart"])
    message = str(caught.value)
    assert f"{tmp_path / 'bag'}: has no topic /heart" in message
    assert "/words   std_msgs/msg/String  2 messages" in message


def test_counts_without_messages_are_an_error_not_silence(tmp_path):
    write(tmp_path / "bag", "sqlite3")
    with sqlite3.connect(tmp_path / "bag" / "bag.db3") as storage:
        storage.execute("DELETE FROM messages WHERE topic_id = 2")
    storage.close()
    with pytest.raises(BagError, match=r"tells of /heads, but no message.*reindex"):
        read(tmp_path / "bag")


def test_paths_that_are_no_bag_are_told_apart(tmp_path):
    write(tmp_path / "bag")
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.mcap").write_bytes((tmp_path / "bag" / "bag.mcap").read_bytes()[:200])
    (tmp_path / "cut.db3").write_bytes(b"SQLite format 3\0")
    shutil.copytree(tmp_path / "bag", tmp_path / "crashed")
    (tmp_path / "crashed" / "metadata.yaml").unlink()
    shutil.copytree(tmp_path / "bag", tmp_path / "moved")
    (tmp_path / "moved" / "bag.mcap").unlink()
    for name, expected in (
        ("nothing", "no such bag"),
        ("folder", "is no bag; a bag is a folder with a metadata.yaml"),
        ("old.bag", "ROS 1 bag; convert"),
        ("notes.txt", "ends in .mcap or .db3"),
        ("cut.mcap", "cut off"),
        ("cut.db3", "cannot be read"),
        ("crashed", f"open {tmp_path / 'crashed' / 'bag.mcap'} itself"),
        ("moved", "missing"),
        ("bag/metadata.yaml", f"open the folder instead, {tmp_path / 'bag'}"),
    ):
        with pytest.raises(BagError) as caught:
            BagReader(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert expected in str(caught.value)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_damaged_in_the_middle_is_named(tmp_path, storage):
    big = [("/words", STRING, number, bytes(1000)) for number in range(3000)]
    write(tmp_path / "bag", storage, messages=big)
    file = next(path for path in (tmp_path / "bag").iterdir() if path.suffix in (".mcap", ".db3"))
    content = bytearray(file.read_bytes())
    content[len(content) // 3 : len(content) // 2] = b"\xff" * (
        len(content) // 2 - len(content) // 3
    )
    file.write_bytes(content)
    with pytest.raises(BagError) as caught:
        read(tmp_path / "bag")
    assert str(tmp_path / "bag") in str(caught.value)


@pytest.mark.parametrize("storage", STORAGES)
def test_nothing_is_left_of_a_bag_whose_writing_failed(tmp_path, storage):
    def break_off():
        with BagWriter(tmp_path / "bag", storage) as bag:
            bag.add_topic("/words", STRING)
            bag.write("/words", 1, MESSAGES[0][3])
            assert not (tmp_path / "bag").exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_a_bag_is_replaced_only_when_told_and_stays_if_the_new_one_fails(tmp_path):
    write(tmp_path / "bag", "sqlite3")
    with pytest.raises(BagExistsError, match="exists already"):
        BagWriter(tmp_path / "bag")
    with pytest.raises(ZeroDivisionError), BagWriter(tmp_path / "bag", overwrite=True):
        raise ZeroDivisionError
    assert read(tmp_path / "bag") == MESSAGES
    write(tmp_path / "bag", overwrite=True, messages=MESSAGES[:1])
    assert read(tmp_path / "bag") == MESSAGES[:1]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bag", "bag.mcap", "metadata.yaml"]


def test_what_is_no_bag_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(BagError, match="is no bag; choose another name"):
        BagWriter(tmp_path / "thesis", overwrite=True)


def test_a_topic_must_be_added_before_its_messages(tmp_path):
    with (
        pytest.raises(BagError, match="/words was not added"),
        BagWriter(tmp_path / "bag") as bag,
    ):
        bag.write("/words", 1, b"")


def test_an_unknown_storage_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(BagError, match="mcap or sqlite3"):
        BagWriter(tmp_path / "bag", "rosbag_v2")
