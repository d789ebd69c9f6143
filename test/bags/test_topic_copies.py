"""Topics of one bag in another, of types that are installed and of others."""

from __future__ import annotations

import pytest
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.reader import BagReader, BagTopic
from jetson_detect.bags.writer import BagWriter

LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    QosTime(0, 0),
    QosTime(0, 0),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)
HASH = "RIHS01_" + "ab" * 32


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_a_copy_keeps_definition_hash_and_quality_of_service_of_any_type(tmp_path, plugin):
    with Writer(tmp_path / "first", version=9, storage_plugin=plugin) as bag:
        connection = bag.add_connection(
            "/arm", "my_arm/msg/Pose", msgdef="int32 joint\n", rihs01=HASH,
            offered_qos_profiles=[LATCHED],
        )  # fmt: skip
        bag.write(connection, 123, b"\0\1\0\0\5\0\0\0")
    with BagReader(tmp_path / "first") as first, BagWriter(tmp_path / "second") as second:
        second.add_copy(first.topics["/arm"])
        second.note("replay model", "demo")
        for message in first.messages():
            second.write(message.topic, message.timestamp, message.data)
    with Reader(tmp_path / "second") as copy:
        (connection,) = copy.connections
        assert (connection.topic, connection.msgtype) == ("/arm", "my_arm/msg/Pose")
        assert connection.msgdef.data == "int32 joint\n"
        assert connection.digest == HASH
        (quality,) = connection.ext.offered_qos_profiles
        assert quality.durability is QosDurability.TRANSIENT_LOCAL
        assert [(at, bytes(data)) for _, at, data in copy.messages()] == [
            (123, b"\0\1\0\0\5\0\0\0")
        ]
    assert "replay model: demo" in (tmp_path / "second" / "metadata.yaml").read_text()


def test_a_type_that_neither_the_bag_nor_this_machine_defines_is_refused(tmp_path):
    with (
        pytest.raises(BagError, match="message type my_arm/msg/Pose is not known"),
        BagWriter(tmp_path / "bag") as bag,
    ):
        bag.add_copy(BagTopic("/arm", "my_arm/msg/Pose", 1))
    assert list(tmp_path.iterdir()) == []
