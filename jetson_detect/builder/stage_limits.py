"""What a stage of a build may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageLimits:
    """Limits of one stage's process; a stage that exceeds one is killed."""

    memory_mb: int = 0
    """The most resident memory, in MB; 0 for no limit of our own."""
    deadline_s: float = 3600.0
    """The longest that a stage may take, in seconds."""
    niceness: int = 10
    """How far its CPU priority is lowered, 0 to 19, so that a running detector goes first."""
