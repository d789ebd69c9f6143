"""How cameras send their frames."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drive:
    """A number of frames, each when an earlier one was answered, or by the clock."""

    frames: int = 200
    """Of each camera."""
    rate: float = 0.0
    """Frames a second of each camera; 0 sends the next one when an answer has come."""
    in_flight: int = 1
    """Frames of each camera that may wait for an answer; without effect where there is a rate."""
    timeout_s: float = 1.0
    """A frame that is not answered within this time is lost."""

    def __str__(self) -> str:
        if self.rate:
            return f"{self.rate:g} Hz"
        return f"{self.in_flight} in flight"
