"""How often things are measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Repeats:
    """Rounds, in each of which every contestant has its turn."""

    rounds: int = 5
    frames: int = 200
    """Frames, or calls, of each contestant in a round."""
    warm_up: int = 50
    """The same before the first round."""


USUAL_REPEATS = Repeats()
"""Enough for medians that another run finds again."""
