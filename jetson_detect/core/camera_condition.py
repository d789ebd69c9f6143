"""How a camera is, and how much that matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from jetson_detect.core.camera_statistics import CameraReport, DropReason


class Presence(Enum):
    """Whether somebody publishes a camera's images."""

    AWAITED = "awaited"
    """Nobody has yet."""
    THERE = "there"
    LOST = "lost"
    """Somebody did."""


class Condition(Enum):
    """How a camera is: the levels of ``diagnostic_msgs/DiagnosticStatus``."""

    OK = "OK"
    WARN = "WARN"
    ERROR = "ERROR"
    STALE = "STALE"


@dataclass(frozen=True)
class CameraCondition:
    """What is known of a camera."""

    topic: str
    message_type: str
    presence: Presence
    is_active: bool
    """Whether its images are subscribed to."""
    is_enabled: bool
    """Whether they are processed."""
    silence_warning_s: float
    """How long it may be silent; 0 for ever."""
    silence_reasons: tuple[str, ...]
    """Why nothing may arrive though there is a publisher, with remedies."""
    recently_dropped: Mapping[DropReason, int]
    """Since the last time that this was asked."""
    last_failure: str
    """Why a frame was left out last; empty if none was."""
    report: CameraReport

    def judge(self) -> tuple[Condition, str]:
        """Say how it is, in one sentence, with the remedy where there is one."""
        report, dropped = self.report, self.recently_dropped
        if not self.is_active:
            return Condition.OK, "not subscribed to: the node is not active"
        if self.presence is Presence.LOST:
            return Condition.ERROR, "its publisher has gone: look after the camera's process"
        if self.presence is Presence.AWAITED:
            return Condition.WARN, (
                "no publisher yet: is the camera running, in this ROS_DOMAIN_ID, and is "
                "image_topics right?"
            )
        if report.silent_s > self.silence_warning_s > 0.0:
            reasons = "; ".join(self.silence_reasons)
            return Condition.STALE, f"no image for {report.silent_s:.0f} s: {reasons}"
        if not self.is_enabled:
            return Condition.OK, "frames are dropped: enabled is false (service ~/enable)"
        if dropped[DropReason.FAILED_INFERENCE]:
            return Condition.ERROR, (
                f"{dropped[DropReason.FAILED_INFERENCE]} frames were not answered by any backend: "
                f"{self.last_failure}"
            )
        if dropped[DropReason.BAD_IMAGE]:
            return Condition.WARN, (
                f"{dropped[DropReason.BAD_IMAGE]} images could not be read: {self.last_failure}"
            )
        if dropped[DropReason.TOO_OLD]:
            return Condition.WARN, (
                f"{dropped[DropReason.TOO_OLD]} frames were older than max_age_s: is the camera's "
                "clock right, and the network fast enough?"
            )
        return Condition.OK, (
            f"{report.input_hz:.1f} frames/s come, {report.output_hz:.1f}/s are answered"
        )
