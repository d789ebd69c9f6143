"""A bag through a node in lock-step, and offline: the same answers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.demo_bag import DemoBagConfig, write_demo_bag
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.writer import BagWriter
from jetson_detect.commands.replay.command import main

ANSWERS = "/camera/detections"


def answers(path: Path) -> list[tuple[int, Detection2DArray]]:
    with BagReader(path) as bag:
        return [
            (one.timestamp, deserialize_message(one.data, Detection2DArray))
            for one in bag.messages([ANSWERS])
        ]


def raw_bag(path: Path) -> str:
    """Write raw images; returns their topic."""
    write_demo_bag(path, DemoBagConfig(frames=10, width=320, height=240))
    return "/camera/image_raw"


def jpeg_bag(path: Path) -> str:
    """Write JPEG pictures so large that they are decoded smaller; returns their topic."""
    raw, topic = path.with_name("raw"), "/camera/image_raw/compressed"
    write_demo_bag(raw, DemoBagConfig(frames=6, width=1280, height=960))
    with BagReader(raw) as source, BagWriter(path) as bag:
        bag.add_topic(topic, "sensor_msgs/msg/CompressedImage")
        for one in source.messages(["/camera/image_raw"]):
            image = deserialize_message(one.data, Image)
            pixels = np.asarray(image.data, np.uint8).reshape(image.height, image.width, 3)
            data = cv2.imencode(".jpg", pixels)[1].tobytes()
            message = CompressedImage(header=image.header, format="jpeg", data=data)
            bag.write(topic, one.timestamp, serialize_message(message))
    return topic


@pytest.mark.dds
@pytest.mark.parametrize("write_bag", [raw_bag, jpeg_bag])
def test_offline_gives_what_a_node_answers(graph, tmp_path, write_bag):
    bag = tmp_path / "bag"
    topic = write_bag(bag)
    assert (
        main([str(bag), "--offline", "--backends", "tflite", "--output", str(tmp_path / "a")]) == 0
    )
    detector = graph.start(
        "jetson_detect.commands.detector_node",
        "--ros-args",
        *("-p", f"image_topics:=[{topic}]", "-p", "backends:=[tflite]"),
    )
    detector.wait_for_output("detecting:")
    arguments = ("--lock-step", "--output", tmp_path / "b", "--compare", tmp_path / "a")
    process = graph.start("jetson_detect.commands.replay", bag, *arguments)
    assert process.wait() == 0, process.output
    assert "0 missed, 0 extra" in process.output
    offline = answers(tmp_path / "a")
    assert sum(len(message.detections) for _, message in offline) > 0
    assert answers(tmp_path / "b") == offline
