"""What a replay plays, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

DETECTIONS = "vision_msgs/msg/Detection2DArray"


@dataclass(frozen=True)
class PlayedTopic:
    """A topic of the bag and where its messages go."""

    recorded: str
    """Name in the bag."""
    published: str
    """Name on the wire."""
    type_name: str
    """As ``sensor_msgs/msg/Image``."""


@dataclass(frozen=True)
class PlayedCamera(PlayedTopic):
    """An image topic and where its answers come from."""

    detections: str
    """Topic of ``vision_msgs/Detection2DArray``."""


class Stamping(str, Enum):
    """What the header stamps of played messages are."""

    ORIGINAL = "original"
    """As recorded; they go back when the bag begins again."""
    SHIFTED = "shifted"
    """As recorded, and later by the bag's length each time it begins again."""
    NOW = "now"
    """The moment of publishing."""


class Ending(str, Enum):
    """How a replay ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    """As ``should_stop`` told."""
    NO_SUBSCRIBER = "no_subscriber"
    NO_FIRST_ANSWER = "no_first_answer"
    TOO_MANY_LOST = "too_many_lost"
