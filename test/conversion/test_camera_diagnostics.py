from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.camera_diagnostics import to_camera_status
from jetson_detect.core.camera_condition import CameraCondition, Presence
from jetson_detect.core.camera_statistics import CameraReport, DropReason

DROPPED = {reason: number for number, reason in enumerate(DropReason)}


def status(presence: Presence = Presence.THERE, **changes: object) -> DiagnosticStatus:
    values = {
        "received": 30,
        "answered": 20,
        "dropped": DROPPED,
        "input_hz": 15.04,
        "output_hz": 10.0,
        "latency_p50_s": 0.01234,
        "latency_p99_s": None,
        "silent_s": 0.31,
        "since_s": 61.4,
        **changes,
    }
    condition = CameraCondition(
        topic="/front/image_raw",
        message_type="sensor_msgs/msg/Image",
        presence=presence,
        is_active=True,
        is_enabled=True,
        silence_warning_s=5.0,
        silence_reasons=("the remedy",),
        recently_dropped=dict.fromkeys(DropReason, 0),
        last_failure="",
        report=CameraReport(**values),  # type: ignore[arg-type]
    )
    return to_camera_status(condition, "detector: camera /front/image_raw")


def test_a_camera_is_told_with_its_numbers():
    message = status()
    assert message.level == DiagnosticStatus.OK
    assert message.name == "detector: camera /front/image_raw"
    assert message.hardware_id == "/front/image_raw"
    assert {each.key: each.value for each in message.values} == {
        "topic": "/front/image_raw",
        "type": "sensor_msgs/msg/Image",
        "publisher": "there",
        "received": "30",
        "answered": "20",
        "dropped: replaced": "0",
        "dropped: too old": "1",
        "dropped: bad image": "2",
        "dropped: failed inference": "3",
        "dropped: disabled": "4",
        "input rate (Hz)": "15.0",
        "output rate (Hz)": "10.0",
        "latency p50 (ms)": "12.3",
        "latency p99 (ms)": "",
        "last frame (s ago)": "0.3",
        "counted for (s)": "61",
    }


def test_levels_are_those_of_the_message():
    assert status(Presence.AWAITED).level == DiagnosticStatus.WARN
    assert status(Presence.LOST).level == DiagnosticStatus.ERROR
    stale = status(silent_s=6.0)
    assert stale.level == DiagnosticStatus.STALE
    assert stale.message == "no image for 6 s: the remedy"


def test_a_camera_that_never_sent_has_no_last_frame():
    values = {each.key: each.value for each in status(received=0).values}
    assert values["last frame (s ago)"] == ""
