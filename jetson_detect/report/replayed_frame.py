"""One frame of a replay and what was found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jetson_detect.core.detections import Detections
from jetson_detect.core.pixels import Pixels


@dataclass(frozen=True, eq=False)
class ReplayedFrame:
    """A frame that was answered."""

    topic: str
    """Of the image."""
    stamp_ns: int
    """The header stamp in nanoseconds."""
    pixels: Pixels
    """The picture; looked at while the frame is added, never kept."""
    detections: Detections
    """What was found, in pixels of the picture."""
    labels: Sequence[str]
    """The names of the classes, of all three sets of objects; -1 is a class without a name."""
    truth: Detections | None = None
    """What is there, if that is known."""
    golden: Detections | None = None
    """What an earlier run found, if there is one to compare with."""
    latency_ms: float | None = None
    """From the frame to its answer."""
