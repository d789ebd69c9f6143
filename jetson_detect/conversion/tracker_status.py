"""``diagnostic_msgs/DiagnosticStatus`` from what a tracker follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.diagnostics import to_key_values


@dataclass(frozen=True)
class CameraTracks:
    """What is known of one camera's tracks."""

    topic: str
    frames: int
    """Arrays of detections that were received."""
    failed: int
    """Those of them that could not be tracked."""
    confirmed: int
    """Tracks that are not gone."""
    ids: int
    """Tracks that were given an id, since the start."""
    resets: int
    """Jumps back in time."""


def to_tracker_status(cameras: Sequence[CameraTracks], name: str) -> DiagnosticStatus:
    """Tell what is followed.

    Parameters
    ----------
    cameras:
        One for each topic of detections.
    name:
        Of the component, as tools show it.

    Returns
    -------
    OK; WARN where nothing has come from a camera yet or frames could not be tracked.  Keys, for
    each topic: ``TOPIC: frames``, ``failed``, ``confirmed``, ``ids``, ``resets``.

    """
    silent = [each.topic for each in cameras if each.frames == 0]
    failed = sum(each.failed for each in cameras)
    message = DiagnosticStatus(name=name, level=DiagnosticStatus.WARN)
    if silent:
        message.message = f"nothing has come yet on {', '.join(silent)}"
    elif failed:
        message.message = f"{failed} frames could not be tracked; the log tells why"
    else:
        message.level = DiagnosticStatus.OK
        message.message = f"{sum(each.confirmed for each in cameras)} objects"
    message.values = to_key_values(
        {
            f"{each.topic}: {key}": str(value)
            for each in cameras
            for key, value in (
                ("frames", each.frames),
                ("failed", each.failed),
                ("confirmed", each.confirmed),
                ("ids", each.ids),
                ("resets", each.resets),
            )
        }
    )
    return message
