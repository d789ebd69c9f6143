from __future__ import annotations

from typing import Any

import pytest

from jetson_detect.core.camera_condition import CameraCondition, Condition, Presence
from jetson_detect.core.camera_statistics import CameraReport, DropReason

NONE = dict.fromkeys(DropReason, 0)


def condition(silent_s: float = 0.1, **changes: Any) -> CameraCondition:
    report = CameraReport(
        received=30,
        answered=29,
        dropped=NONE,
        input_hz=15.0,
        output_hz=14.5,
        latency_p50_s=0.01,
        latency_p99_s=0.02,
        silent_s=silent_s,
        since_s=2.0,
    )
    values: dict[str, Any] = {
        "topic": "/front/image_raw",
        "message_type": "sensor_msgs/msg/Image",
        "presence": Presence.THERE,
        "is_active": True,
        "is_enabled": True,
        "silence_warning_s": 5.0,
        "silence_reasons": (),
        "recently_dropped": NONE,
        "last_failure": "",
        "report": report,
    }
    return CameraCondition(**{**values, **changes})


def dropped(**counts: int) -> dict[DropReason, int]:
    return {**NONE, **{DropReason[name]: count for name, count in counts.items()}}


def test_a_camera_that_is_answered_is_well_and_says_how_fast():
    assert condition().judge() == (Condition.OK, "15.0 frames/s come, 14.5/s are answered")


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"is_active": False, "presence": Presence.LOST}, Condition.OK, "not active"),
        ({"presence": Presence.AWAITED}, Condition.WARN, "is the camera running"),
        ({"presence": Presence.LOST}, Condition.ERROR, "its publisher has gone"),
        (
            {"silent_s": 7.4, "silence_reasons": ("it sends best effort", "b")},
            Condition.STALE,
            "no image for 7 s: it sends best effort; b",
        ),
        ({"is_enabled": False}, Condition.OK, "~/enable"),
        (
            {"recently_dropped": dropped(FAILED_INFERENCE=2), "last_failure": "no backend works"},
            Condition.ERROR,
            "2 frames were not answered by any backend: no backend works",
        ),
        (
            {"recently_dropped": dropped(BAD_IMAGE=3), "last_failure": "encoding 'x'"},
            Condition.WARN,
            "3 images could not be read: encoding 'x'",
        ),
        ({"recently_dropped": dropped(TOO_OLD=4)}, Condition.WARN, "4 frames were older"),
    ],
)
def test_what_is_wrong_is_told_with_its_level(changes, level, words):
    found, message = condition(**changes).judge()
    assert found is level
    assert words in message


def test_a_camera_may_be_silent_for_ever_if_nobody_wants_to_hear_of_it():
    assert condition(silent_s=1e6, silence_warning_s=0.0).judge()[0] is Condition.OK


def test_frames_that_newer_ones_replace_are_no_fault():
    assert condition(recently_dropped=dropped(REPLACED=99)).judge()[0] is Condition.OK
