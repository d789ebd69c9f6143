from __future__ import annotations

import pytest

from jetson_detect.middleware.image_type import ImageType, image_type

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


@pytest.mark.parametrize(
    ("topic", "offered", "expected"),
    [
        ("/a/image_raw", [RAW], ImageType.RAW),
        ("/a/image_raw", [COMPRESSED], ImageType.COMPRESSED),
        ("/a/compressed", [RAW, "std_msgs/msg/String"], ImageType.RAW),
        ("/a/image_raw", [], ImageType.RAW),
        ("/a/image_raw/compressed", [], ImageType.COMPRESSED),
        ("/a/image_raw/compressed", [RAW, COMPRESSED], ImageType.COMPRESSED),
        ("/a/image_raw", ["std_msgs/msg/String"], ImageType.RAW),
    ],
)
def test_the_type_is_the_one_on_offer_else_the_one_that_the_name_tells(topic, offered, expected):
    assert image_type(topic, offered) is expected
