"""What helps a stage that took too much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRemedies:
    """What whoever ran a stage can do when it took too much; each is the end of a sentence."""

    deadline: str = "allow more (deadline_s)"
    """When it took longer than its deadline."""
    memory: str = "close other programs, or add swap"
    """When it took more memory than it may, or than there is."""


GENERAL_REMEDIES = StageRemedies()
BUILD_REMEDIES = StageRemedies(
    deadline=(
        "allow more (deadline_s), or ask for less (a lower optimization_level, one precision)"
    ),
    memory="give it less workspace (workspace_mb), close other programs, or add swap",
)
"""For a stage of the building of an engine."""
