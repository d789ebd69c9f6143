from __future__ import annotations

import pytest

from jetson_detect.core.camera_topic_names import base_topic, may_be_camera


def test_a_compressed_topic_belongs_to_the_raw_one():
    assert base_topic("/a/image_raw/compressed") == "/a/image_raw"
    assert base_topic("/a/image_raw") == "/a/image_raw"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/a/image_raw", True),
        ("/a/image_raw/compressed", True),
        ("/debug_image/image_raw", True),
        ("/a/my_debug_image", True),
        ("/a/debug_image", False),
        ("/a/debug_image/compressed", False),
        ("debug_image", False),
        ("/a/depth/compressedDepth", False),
    ],
)
def test_what_detectors_paint_and_depth_are_no_cameras_by_their_names(topic, expected):
    assert may_be_camera(topic) is expected
