"""What one round of frames through a node, or through a part of it, has come to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class StreamRound:
    """The frames that one contestant was given in a row."""

    sent: int
    answered: int
    seconds: float
    """From the first frame sent to the last answer."""
    cpu_s: float
    """CPU time of the contestant's process meanwhile."""
    latencies_ms: tuple[float, ...]
    """Of each frame that was answered, from sending it to its answer."""
    stages_s: Mapping[str, float] = field(default_factory=dict)
    """CPU time of each stage meanwhile; empty where stages overlap."""

    def with_stages(self, stages_s: Mapping[str, float]) -> StreamRound:
        """Return the same round with the CPU time of its stages."""
        return replace(self, stages_s=stages_s)

    @property
    def fps(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def answer_s(self) -> float:
        """Seconds from one answer to the next; infinite if there is none."""
        return self.seconds / self.answered if self.answered else math.inf

    @property
    def cpu_ms(self) -> float:
        """CPU time of an answered frame in ms; NaN if there is none."""
        return self._per_frame(self.cpu_s)

    @property
    def lost(self) -> int:
        """Frames that were not answered: replaced by newer ones, or lost on their way."""
        return self.sent - self.answered

    @property
    def stages_ms(self) -> dict[str, float]:
        """CPU time of each stage of an answered frame in ms."""
        return {name: self._per_frame(seconds) for name, seconds in self.stages_s.items()}

    def _per_frame(self, seconds: float) -> float:
        return seconds / self.answered * 1e3 if self.answered else float("nan")
