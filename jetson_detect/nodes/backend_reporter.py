"""Says what runs: in the log, on a latched topic and in ``/diagnostics``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode

from jetson_detect.conversion.diagnostics import to_diagnostic_status
from jetson_detect.core.fallback import ChainStatus, Report, Severity
from jetson_detect.core.gpu_memory import process_gpu_mb
from jetson_detect.nodes.diagnostic_topics import DiagnosticTopics
from jetson_detect.nodes.running_model import RunningModel

_GPU_MEMORY_S = 10.0
"""Between two questions to the driver, which takes milliseconds for each."""
_CPU = "CPU"


class BackendReporter:
    """The topics ``~/status`` and ``/diagnostics`` of one detector."""

    def __init__(
        self,
        node: LifecycleNode,
        period_s: float,
        others: Callable[[], Sequence[DiagnosticStatus]] = tuple,
        counts: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """Make the publishers.

        Parameters
        ----------
        node:
            The detector's node.
        period_s:
            Between two messages on ``/diagnostics``; 0 for none.
        others:
            What else is published there.
        counts:
            What else is said of the backend there.

        """
        self._node = node
        self._name = f"{node.get_fully_qualified_name().lstrip('/')}: backend"
        self._running: RunningModel | None = None
        self._others = others
        self._counts = counts
        self._gpu_memory_mb: float | None = None
        self._asked_gpu_at = float("-inf")
        self._topics = DiagnosticTopics(node, "~/status", self._to_statuses, period_s)

    def follow(self, running: RunningModel) -> None:
        """Tell of this model from now on."""
        self._running = running
        self._topics.publish(self._describe(running, running.status))

    def report(self, running: RunningModel, report: Report) -> None:
        """Tell of a change, on whichever thread it happened."""
        if not self._node.context.ok():
            return
        if report.text:
            logger = self._node.get_logger()
            if report.severity is Severity.INFO:
                logger.info(report.text)
            else:
                logger.warning(report.text)
        self._topics.publish(self._describe(running, report.status))

    def destroy(self) -> None:
        """Take the publishers away."""
        self._topics.destroy()

    def _describe(
        self, running: RunningModel, status: ChainStatus, more: Mapping[str, str] | None = None
    ) -> DiagnosticStatus:
        return to_diagnostic_status(status, self._name, running.model.name, more or {})

    def _to_statuses(self) -> list[DiagnosticStatus]:
        running = self._running
        if running is None:
            return []
        status = running.status
        more = {**self._counts(), **self._resources(status)}
        return [*self._others(), self._describe(running, status, more)]

    def _resources(self, status: ChainStatus) -> dict[str, str]:
        """What changes while a backend runs: the age of its file, the GPU memory it takes."""
        if status.running is None:
            return {}
        values = {}
        age_s = _age_s(status.running.file.path)
        if age_s is not None:
            values["file age (h)"] = f"{age_s / 3600:.1f}"
        if status.running.device != _CPU:
            if time.monotonic() - self._asked_gpu_at >= _GPU_MEMORY_S:
                self._asked_gpu_at = time.monotonic()
                self._gpu_memory_mb = process_gpu_mb(None)
            if self._gpu_memory_mb is not None:
                values["gpu memory (MB)"] = f"{self._gpu_memory_mb:.0f}"
        return values


def _age_s(path: Path) -> float | None:
    """By the wall clock; a file from the future, or that is gone, has none."""
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError:
        return None
    return age_s if age_s >= 0.0 else None
