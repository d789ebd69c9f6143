from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.tracker_status import CameraTracks, to_tracker_status

FRONT = CameraTracks("/front/detections", frames=9, failed=0, confirmed=2, ids=4, resets=1)


@pytest.mark.parametrize(
    ("rear", "level", "text"),
    [
        (CameraTracks("/rear", 1, 0, 3, 3, 0), DiagnosticStatus.OK, "5 objects"),
        (
            CameraTracks("/rear", 0, 0, 0, 0, 0),
            DiagnosticStatus.WARN,
            "nothing has come yet on /rear",
        ),
        (
            CameraTracks("/rear", 7, 2, 0, 0, 0),
            DiagnosticStatus.WARN,
            "2 frames could not be tracked; the log tells why",
        ),
    ],
)
def test_the_status_tells_whether_all_cameras_are_followed(rear, level, text):
    status = to_tracker_status([FRONT, rear], "tracker: tracks")
    assert (status.name, status.level, status.message) == ("tracker: tracks", level, text)


def test_the_status_has_the_counts_of_each_camera():
    values = {each.key: each.value for each in to_tracker_status([FRONT], "tracker").values}
    assert values == {
        "/front/detections: frames": "9",
        "/front/detections: failed": "0",
        "/front/detections: confirmed": "2",
        "/front/detections: ids": "4",
        "/front/detections: resets": "1",
    }
