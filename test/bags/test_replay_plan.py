from __future__ import annotations

from pathlib import Path

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.replay_plan import WantedTopics, make_plan
from jetson_detect.bags.writer import BagWriter
from jetson_detect.nodes.camera_topics import namespace_beside

RAW, DEBUG = "/camera/image_raw", "/camera/debug_image"
COMPRESSED, DEPTH = f"{RAW}/compressed", f"{RAW}/compressedDepth"


def bag_with(path: Path, *topics: str) -> BagReader:
    with BagWriter(path) as bag:
        for topic in topics:
            message = CompressedImage if "compressed" in topic else Image
            bag.add_topic(topic, f"sensor_msgs/msg/{message.__name__}")
            bag.write(topic, 1, serialize_message(message()))
    return BagReader(path)


@pytest.mark.parametrize(
    ("recorded", "played"),
    [
        ([RAW, COMPRESSED], RAW),
        ([COMPRESSED, DEPTH], COMPRESSED),
        ([RAW, DEBUG, f"{DEBUG}/compressed"], RAW),
        ([COMPRESSED, DEBUG], COMPRESSED),
        ([DEBUG], DEBUG),
    ],
)
def test_cameras_are_played_and_answered_where_the_node_answers_them(tmp_path, recorded, played):
    with bag_with(tmp_path / "bag", *recorded) as bag:
        (camera,) = make_plan(bag, WantedTopics()).cameras
    assert (camera.recorded, camera.published) == (played, played)
    assert camera.detections == f"{namespace_beside(played)}/detections" == "/camera/detections"
