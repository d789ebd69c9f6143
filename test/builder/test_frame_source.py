from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.pictures import IMAGE
from jetson_detect.bags.writer import BagWriter
from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.core.sample_frames import FrameChoice
from jetson_detect.core.scenes import CLASS_NAMES


def values(frames) -> list[int]:
    return [int(frame.pixels.data.flat[0]) for frame in frames]


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    with BagWriter(tmp_path / "bag") as writer:
        for topic in ("/front", "/rear"):
            writer.add_topic(topic, IMAGE)
        for index in range(10):
            for topic, value in (("/front", index), ("/rear", 100 + index)):
                data = bytes([value]) * 12
                message = Image(height=2, width=2, encoding="bgr8", step=6, data=data)
                writer.write(topic, index, serialize_message(message))
    return tmp_path / "bag"


def test_frames_of_a_bag_are_evenly_spaced_ones_of_its_topic(bag):
    source = FrameSource(FrameChoice((str(bag),), count=5), "/rear")
    assert values(source.frames(CLASS_NAMES)) == [100, 102, 104, 106, 108]
    assert str(source) == f"up to 5 frames of {bag} /rear"
    # One of the bag's files does as well.
    (file,) = bag.glob("*.mcap")
    assert len(FrameSource(FrameChoice((str(file),), count=5), "/rear").frames(CLASS_NAMES)) == 5


def test_a_bag_with_several_cameras_asks_which(bag):
    with pytest.raises(BagError, match="name the topic: there are /front, /rear"):
        FrameSource(FrameChoice((str(bag),))).frames(CLASS_NAMES)


def test_a_topic_needs_one_bag(bag):
    with pytest.raises(ValueError, match="2 sources and the topic '/rear': name one bag"):
        FrameSource(FrameChoice((str(bag), str(bag))), "/rear").frames(CLASS_NAMES)


def test_pictures_of_a_folder_are_taken_as_they_are(tmp_path):
    for value in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{value}.png"), np.full((4, 4, 3), value, np.uint8))
    frames = FrameSource(FrameChoice((str(tmp_path),))).frames(CLASS_NAMES)
    assert values(frames) == [1, 2, 3]
    assert frames[0].truth is None


def test_without_a_name_scenes_are_drawn_with_their_truth_for_a_model_that_knows_them():
    source = FrameSource(FrameChoice(count=2, seed=3))
    assert str(source) == "up to 2 frames of drawn scenes"
    known, unknown = source.frames(CLASS_NAMES), source.frames(("cat",))
    assert len(known) == len(unknown) == 2
    assert known[0].truth is not None
    assert unknown[0].truth is None
    np.testing.assert_array_equal(known[1].pixels.data, unknown[1].pixels.data)
