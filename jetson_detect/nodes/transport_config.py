"""The parameters that say how frames come in and detections go out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jetson_detect.middleware.frame_receiver import ReceiveMode
from jetson_detect.nodes.parameters import parameter


class PublishMode(str, Enum):
    """How detections become messages."""

    AUTO = "auto"
    """Serialised where a trial at start shows that the middleware reads it, else typed."""
    TYPED = "typed"
    """As message objects: any middleware, ten to a hundred times the CPU time."""


@dataclass(frozen=True)
class TransportConfig:
    """How frames come in and detections go out."""

    receive: ReceiveMode = parameter(
        ReceiveMode.AUTO,
        "who takes the images: rcl (a thread of its own, into memory that is used again), raw (the "
        "executor, through rclpy alone), or auto for the first that works",
    )
    publish: PublishMode = parameter(
        PublishMode.AUTO,
        "typed publishes message objects; auto writes the same bytes itself, at a tenth of the "
        "cost or less, where the middleware reads them",
    )
