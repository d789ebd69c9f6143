from __future__ import annotations

import pytest
from std_msgs.msg import Header

from jetson_detect.conversion.labels import to_label_info


def test_label_info_maps_each_index_to_its_label():
    header = Header(frame_id="front")
    message = to_label_info(header, ("ball", "box"), 0.25)
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [
        (0, "ball"),
        (1, "box"),
    ]
    assert message.header == header
    assert message.threshold == pytest.approx(0.25)
