"""What is measured, a row for each contestant of each case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from jetson_detect.benchmark.distribution import Distribution
from jetson_detect.benchmark.stream_round import StreamRound


@dataclass(frozen=True)
class CostRow:
    """What one act costs, done one way."""

    case: str
    """What is done: ``100 detections``."""
    way: str
    """Who does it, or how: ``message objects``."""
    unit: str
    """Of the numbers: ``µs CPU``."""
    rounds: tuple[float, ...]
    """The cost in each round."""

    @property
    def cost(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return {**asdict(self), "median": self.cost}


@dataclass(frozen=True)
class StreamRow:
    """A stream of frames through one contestant."""

    case: str
    """What the frames are: ``1920x1080``."""
    way: str
    """Who answers them: ``plain``."""
    drive: str
    """How they are sent: ``30 Hz``."""
    rounds: tuple[StreamRound, ...]
    rss_mb: float | None = None
    """Resident memory of its process; None where it has none of its own."""
    gpu_mb: float | None = None
    """GPU memory of its process; None where nobody tells."""

    @property
    def fps(self) -> float:
        """Answers a second, the median of the rounds."""
        return median(each.fps for each in self.rounds)

    @property
    def cpu_ms(self) -> float:
        """CPU time of a frame in ms, the median of the rounds."""
        return median(each.cpu_ms for each in self.rounds)

    @property
    def latency_ms(self) -> Distribution:
        """From a frame to its answer, over all rounds."""
        return Distribution.of(self.latencies_ms)

    @property
    def latencies_ms(self) -> tuple[float, ...]:
        """The latency of each answer of all rounds."""
        return tuple(latency for each in self.rounds for latency in each.latencies_ms)

    @property
    def sent(self) -> int:
        """Frames of all rounds."""
        return sum(each.sent for each in self.rounds)

    @property
    def lost(self) -> int:
        """Frames of all rounds that were not answered."""
        return sum(each.lost for each in self.rounds)

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """CPU time of each stage of a frame in ms, the medians of the rounds."""
        stages = [each.stages_ms for each in self.rounds]
        return {name: median(each[name] for each in stages) for name in stages[0]}

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries; of latencies the percentiles alone."""
        return {
            "case": self.case,
            "way": self.way,
            "drive": self.drive,
            "fps": self.fps,
            "cpu_ms": self.cpu_ms,
            "stages_ms": dict(self.stages_ms),
            "latency_ms": asdict(self.latency_ms),
            "sent": self.sent,
            "lost": self.lost,
            "rss_mb": self.rss_mb,
            "gpu_mb": self.gpu_mb,
            "rounds": [{"fps": each.fps, "cpu_ms": each.cpu_ms} for each in self.rounds],
        }
