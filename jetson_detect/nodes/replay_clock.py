"""The time of a recording on ``/clock``, for nodes with ``use_sim_time``."""

from __future__ import annotations

import time

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from jetson_detect.core.stamp_time import SECOND_NS
from jetson_detect.nodes.message_classes import message_class_of
from jetson_detect.nodes.qos import RELIABLE

CLOCK_TOPIC = "/clock"


class ReplayClock:
    """Publishes the time of the frame shown last, or, running, the time since then.

    It goes back where the recording begins again with its own stamps, as simulators do when they
    are reset.
    """

    def __init__(self, node: Node, hz: float, rate: float = 1.0) -> None:
        """Make the publisher; nothing is published before the first frame.

        Parameters
        ----------
        node
            Whose publisher and timer it uses; the timer runs while the node is spun.
        hz
            How often the time is published, besides before each frame.
        rate
            Times as fast as recorded, once it runs; in lock-step time stands between frames.

        Raises
        ------
        BagError
            If rosgraph_msgs is not installed.

        """
        self._message_class = message_class_of("rosgraph_msgs/msg/Clock")
        self._publisher = node.create_publisher(self._message_class, CLOCK_TOPIC, RELIABLE)
        self._rate = rate
        self._position_ns: int | None = None
        """Of the frame shown last; of the one that the clock runs from."""
        self._back_ns = 0
        self._runs_since: float | None = None
        # By the machine's clock: with use_sim_time the node's own would be this one.
        self._timer = node.create_timer(
            1.0 / hz, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def show(self, position_ns: int, back_ns: int = 0) -> None:
        """Publish the time, which is that of a frame unless the clock runs.

        Parameters
        ----------
        position_ns
            When the frame is due; never goes back.
        back_ns
            What to take off, because the recording began again with its own stamps.

        """
        self._back_ns = back_ns
        # Once it runs, setting it would send it back by whatever the frame is late.
        if self._runs_since is None:
            self._position_ns = position_ns
        self._publish()

    def run(self, since: float) -> None:
        """Go on from the frame shown last, which was due at ``since`` (``time.monotonic``)."""
        self._runs_since = since

    def _publish(self) -> None:
        if self._position_ns is None:
            return
        time_ns = self._position_ns - self._back_ns
        if self._runs_since is not None:
            time_ns += int((time.monotonic() - self._runs_since) * self._rate * SECOND_NS)
        message = self._message_class()
        message.clock.sec, message.clock.nanosec = divmod(time_ns, SECOND_NS)
        self._publisher.publish(message)
