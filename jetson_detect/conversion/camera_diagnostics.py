"""``diagnostic_msgs/DiagnosticStatus`` of a camera."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.diagnostics import to_key_values
from jetson_detect.core.camera_condition import CameraCondition

_MILLISECONDS = 1e3


def to_camera_status(condition: CameraCondition, name: str) -> DiagnosticStatus:
    """Tell how a camera is, and what became of its frames.

    Parameters
    ----------
    condition:
        Of the camera.
    name:
        Of the component, as tools show it.

    Returns
    -------
    OK, WARN, ERROR (its publisher has gone, or no backend answers) or STALE (a publisher is there,
    but no image comes), with a message that says what to do; ``hardware_id`` is the topic.  Keys:
    ``topic``, ``type``, ``publisher``, ``received``, ``answered``, a ``dropped: REASON`` for each
    reason, ``input rate (Hz)``, ``output rate (Hz)``, ``latency p50 (ms)``, ``latency p99 (ms)``,
    ``last frame (s ago)``, ``counted for (s)``.

    """
    level, message = condition.judge()
    report = condition.report
    values = {
        "topic": condition.topic,
        "type": condition.message_type,
        "publisher": condition.presence.value,
        "received": str(report.received),
        "answered": str(report.answered),
        **{f"dropped: {reason.value}": str(count) for reason, count in report.dropped.items()},
        "input rate (Hz)": f"{report.input_hz:.1f}",
        "output rate (Hz)": f"{report.output_hz:.1f}",
        "latency p50 (ms)": _milliseconds(report.latency_p50_s),
        "latency p99 (ms)": _milliseconds(report.latency_p99_s),
        "last frame (s ago)": f"{report.silent_s:.1f}" if report.received else "",
        "counted for (s)": f"{report.since_s:.0f}",
    }
    return DiagnosticStatus(
        level=getattr(DiagnosticStatus, level.value),
        name=name,
        message=message,
        hardware_id=condition.topic,
        values=to_key_values(values),
    )


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * _MILLISECONDS:.1f}"
