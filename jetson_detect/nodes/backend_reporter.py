"""Says what runs: in the log, on a latched topic and in ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from jetson_detect.conversion.diagnostics import to_diagnostic_status
from jetson_detect.core.fallback import ChainStatus, Report, Severity
from jetson_detect.nodes.qos import LATCHED, RELIABLE


class BackendReporter:
    """The topics ``~/status`` and ``/diagnostics`` of one detector."""

    def __init__(
        self,
        node: LifecycleNode,
        model: str,
        status: Callable[[], ChainStatus | None],
        period_s: float,
    ) -> None:
        """Make the publishers.

        Parameters
        ----------
        node:
            The detector's node.
        model:
            The model's name.
        status:
            Asked each time something is published; None while nothing is known.
        period_s:
            Between two messages on ``/diagnostics``; 0 for none.

        """
        self._node = node
        self._name = f"{node.get_fully_qualified_name().lstrip('/')}: backend"
        self._model = model
        self._ask = status
        # Plain publishers: what runs is worth knowing in any state of the life cycle.
        self._status = node.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self._timer = None
        if period_s > 0.0:
            # Steady time: also with use_sim_time and no clock.
            self._timer = node.create_timer(
                period_s, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )

    def report(self, report: Report) -> None:
        """Tell of a change, on whichever thread it happened."""
        if not self._node.context.ok():
            return
        if report.text:
            logger = self._node.get_logger()
            if report.severity is Severity.INFO:
                logger.info(report.text)
            else:
                logger.warning(report.text)
        self._status.publish(to_diagnostic_status(report.status, self._name, self._model))

    def destroy(self) -> None:
        """Take the publishers away."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._status)
        self._node.destroy_publisher(self._diagnostics)

    def _diagnose(self) -> None:
        status = self._ask()
        if status is not None:
            message = DiagnosticArray()
            message.header.stamp = self._node.get_clock().now().to_msg()
            message.status = [to_diagnostic_status(status, self._name, self._model)]
            self._diagnostics.publish(message)
