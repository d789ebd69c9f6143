"""Says what runs: in the log, on a latched topic and in ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode

from jetson_detect.conversion.diagnostics import to_diagnostic_status
from jetson_detect.core.fallback import ChainStatus, Report, Severity
from jetson_detect.nodes.diagnostic_topics import DiagnosticTopics


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
        self._topics = DiagnosticTopics(node, "~/status", self._to_status, period_s)

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
        self._topics.publish(to_diagnostic_status(report.status, self._name, self._model))

    def destroy(self) -> None:
        """Take the publishers away."""
        self._topics.destroy()

    def _to_status(self) -> DiagnosticStatus | None:
        status = self._ask()
        return status and to_diagnostic_status(status, self._name, self._model)
