from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.pictures import COMPRESSED_IMAGE, IMAGE, BagPictures
from jetson_detect.bags.writer import BagWriter

PICTURES = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]


def image(picture: np.ndarray, encoding: str = "rgb8", padding: int = 5) -> bytes:
    """An image whose rows are longer than its pixels need."""
    rows = np.pad(picture.reshape(len(picture), -1), ((0, 0), (0, padding)))
    return serialize_message(
        Image(
            height=picture.shape[0],
            width=picture.shape[1],
            encoding=encoding,
            step=rows.shape[1],
            data=rows.tobytes(),
        )
    )


def compressed(picture: np.ndarray) -> bytes:
    _, data = cv2.imencode(".png", picture)
    return serialize_message(CompressedImage(format="bgr8; png", data=data.tobytes()))


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/front", IMAGE)
        writer.add_topic("/rear", COMPRESSED_IMAGE)
        for index, picture in enumerate(PICTURES):
            writer.write("/front", index, image(picture))
            writer.write("/rear", index, compressed(picture))
    return tmp_path / "bag"


def test_the_pictures_of_a_topic_come_in_order_and_as_often_as_wanted(bag):
    pictures = BagPictures(bag, "/front")
    assert len(pictures) == 3
    for _ in range(2):
        read = list(pictures)
        assert [each.format.color_order for each in read] == ["RGB"] * 3
        np.testing.assert_array_equal([each.data for each in read], PICTURES)


def test_compressed_pictures_are_decoded(bag):
    read = list(BagPictures(bag, "/rear"))
    assert [each.format.color_order for each in read] == ["BGR"] * 3
    np.testing.assert_array_equal([each.data for each in read], PICTURES)


def test_a_topic_that_is_not_clear_is_asked_for_by_name(bag):
    with pytest.raises(BagError, match="name the topic: there are /front, /rear"):
        BagPictures(bag)
    with pytest.raises(BagError, match="'/left' is no topic of images: there are /front, /rear"):
        BagPictures(bag, "/left")


def test_the_only_topic_of_images_need_not_be_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/camera", IMAGE)
        writer.write("/camera", 0, image(PICTURES[0]))
    assert BagPictures(tmp_path / "bag").topic == "/camera"


@pytest.mark.parametrize(
    ("topic", "kind", "message"),
    [
        ("/camera", IMAGE, image(PICTURES[0], encoding="32FC1")),
        (
            "/camera",
            COMPRESSED_IMAGE,
            serialize_message(CompressedImage(format="jpeg", data=b"not a picture")),
        ),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(tmp_path, topic, kind, message):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic(topic, kind)
        writer.write(topic, 0, message)
    with pytest.raises(BagError, match="/camera, picture 0: "):
        list(BagPictures(tmp_path / "bag"))
