"""A frame of a bag and what a detector says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jetson_detect.bags.ledger import SentFrame
from jetson_detect.bags.played_topics import PlayedCamera
from jetson_detect.bags.reader import BagMessage
from jetson_detect.core.detections import Detections
from jetson_detect.core.pixels import Pixels


@dataclass(frozen=True, eq=False)
class Answer:
    """The first answer to a frame."""

    camera: PlayedCamera
    sent: SentFrame
    """The frame as it went out."""
    image: BagMessage | None
    """As it is in the bag; None if the answer took so long that it was let go of."""
    detections: Detections
    """In pixels of the image; classes are indices into the names of the player."""
    data: bytes
    """The ``vision_msgs/Detection2DArray``, serialised."""
    latency_s: float | None
    """From sending to receipt; None where nobody can tell."""
    pixels: Pixels | None = None
    """All of the image's, where the detector runs in this process and has decoded them all."""

    @property
    def latency_ms(self) -> float | None:
        """The latency in milliseconds."""
        return None if self.latency_s is None else self.latency_s * 1000.0


AnswerListener = Callable[[Answer], None]
"""Gets each frame's first answer."""

LossListener = Callable[[SentFrame, str], None]
"""Gets each frame that is given up, and why."""
