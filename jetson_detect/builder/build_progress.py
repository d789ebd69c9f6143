"""How far a build is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """What is being built, what is being done, and what is left."""

    model: str
    precision: str
    phase: str
    """In words, as ``TensorRT: building``."""
    fraction: float | None
    """Of the whole build, 0 to 1; None where nothing tells it."""
    elapsed_s: float
    expected_s: float | None
    """The whole build, as long as it took the last time; None for a first time."""

    def __str__(self) -> str:
        part = f" {self.fraction:.0%}" if self.fraction is not None else ""
        of = f" of about {self.expected_s:.0f} s" if self.expected_s is not None else " s"
        return f"{self.model} {self.precision}: {self.phase}{part}, {self.elapsed_s:.0f}{of}"
