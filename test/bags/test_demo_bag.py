from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.stamps import read_stamp
from jetson_detect.commands.make_demo_bag import main
from jetson_detect.conversion.detections import from_detection_array
from jetson_detect.conversion.images import pixels_from_image
from jetson_detect.core.scenes import CLASS_NAMES, SceneSequence

TYPES = {"/camera/image_raw": Image, "/camera/ground_truth": Detection2DArray}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_demo_bag_holds_the_scenes_and_their_truth(tmp_path, capsys, storage):
    path = tmp_path / "demo"
    arguments = ["--frames", "12", "--fps", "10", "--size", "160x120", "--seed", "3"]
    assert main([str(path), *arguments, "--storage", storage]) == 0
    assert "12 images of 160x120" in capsys.readouterr().out
    with BagReader(path) as bag:
        assert {name: topic.count for name, topic in bag.topics.items()} == {
            "/camera/ground_truth": 12,
            "/camera/image_raw": 12,
        }
        recorded = list(bag.messages())
    scenes = SceneSequence(3, 160, 120)
    for index in range(12):
        truth_bytes, image_bytes = recorded[2 * index], recorded[2 * index + 1]
        scene = scenes.frame(index)
        image = deserialize_message(image_bytes.data, Image)
        truth = deserialize_message(truth_bytes.data, Detection2DArray)
        np.testing.assert_array_equal(pixels_from_image(image).data, scene.image)
        assert (image.encoding, image.header.frame_id) == ("bgr8", "camera")
        assert truth.header == image.header
        assert all(detection.header == image.header for detection in truth.detections)
        assert read_stamp(image_bytes.data) == image_bytes.timestamp
        assert image_bytes.timestamp - recorded[1].timestamp == index * 100_000_000
        boxes = from_detection_array(truth, CLASS_NAMES)
        np.testing.assert_allclose(boxes.boxes, scene.boxes, atol=1e-4)
        np.testing.assert_array_equal(boxes.best_class_ids, scene.class_ids)
        assert (boxes.best_scores == 1.0).all()
        ids = [int(detection.id) for detection in truth.detections]
        assert ids == scene.object_ids.tolist()
    assert any(deserialize_message(one.data, Detection2DArray).detections for one in recorded[::2])


def test_the_same_arguments_give_the_same_bag(tmp_path):
    def content(name):
        main([str(tmp_path / name), "--frames", "3", "--size", "64x48"])
        with BagReader(tmp_path / name) as bag:
            # Not byte for byte: what fills the gaps between fields is left to chance.
            return [
                (one.timestamp, deserialize_message(one.data, TYPES[one.topic]))
                for one in bag.messages()
            ]

    assert content("first") == content("second")


def test_an_existing_bag_is_replaced_only_by_force(tmp_path, capsys):
    arguments = [str(tmp_path / "demo"), "--size", "64x48", "--frames"]
    assert main([*arguments, "2"]) == 0
    assert main([*arguments, "3"]) == 2
    assert "exists already; --force replaces it" in capsys.readouterr().err
    assert main([*arguments, "3", "--force"]) == 0
    with BagReader(tmp_path / "demo") as bag:
        assert bag.topics["/camera/image_raw"].count == 3


@pytest.mark.parametrize(
    "wrong", [["--frames", "0"], ["--fps", "0"], ["--size", "4x4"], ["--seed", "-1"]]
)
def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(tmp_path, capsys, wrong):
    assert main([str(tmp_path / "demo"), *wrong]) == 2
    assert capsys.readouterr().err.startswith("make_demo_bag: ")
    assert list(tmp_path.iterdir()) == []
