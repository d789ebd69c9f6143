"""How a node says how it is: on a latched topic of its own, and in ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from jetson_detect.nodes.qos import LATCHED, RELIABLE


class DiagnosticTopics:
    """Publishes a status when it changes on one topic, and again and again on the other.

    Plain publishers: how things are is worth knowing in any state of the life cycle.
    """

    def __init__(
        self,
        node: LifecycleNode,
        topic: str,
        statuses: Callable[[], Sequence[DiagnosticStatus]],
        period_s: float,
    ) -> None:
        """Make the publishers.

        Parameters
        ----------
        node:
            Whose status it is.
        topic:
            The latched one.
        statuses:
            Asked for ``/diagnostics``; empty while nothing is known.
        period_s:
            Between two messages there; 0 for none.

        """
        self._node = node
        self._ask = statuses
        self._latched = node.create_publisher(DiagnosticStatus, topic, LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self._timer = None
        if period_s > 0.0:
            # Steady time: also with use_sim_time and no clock.
            self._timer = node.create_timer(
                period_s, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )

    def publish(self, status: DiagnosticStatus) -> None:
        """Tell of a change, on whichever thread it happened."""
        self._latched.publish(status)

    def destroy(self) -> None:
        """Take the publishers away."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._latched)
        self._node.destroy_publisher(self._diagnostics)

    def _diagnose(self) -> None:
        statuses = self._ask()
        if statuses:
            message = DiagnosticArray()
            message.header.stamp = self._node.get_clock().now().to_msg()
            message.status = list(statuses)
            self._diagnostics.publish(message)
