"""Says how builds go: in the log, on a latched topic and in ``/diagnostics``."""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.engine_queue import EngineResult, QueueStatus, ResultKind
from jetson_detect.builder.engine_targets import EngineTarget
from jetson_detect.conversion.diagnostics import to_key_values
from jetson_detect.nodes.diagnostic_topics import DiagnosticTopics

_LOG_PERIOD_S = 10.0
_PUBLISH_PERIOD_S = 0.5
"""At least, while only the percentage changes."""
_NOT_AGAIN = (
    "it is not built again until its model's files or parameters change, or ~/build is called"
)


class EngineReporter:
    """The topics ``~/progress`` and ``/diagnostics`` of a builder, and what it logs of builds."""

    def __init__(
        self,
        node: LifecycleNode,
        status: Callable[[], QueueStatus],
        period_s: float,
        on_ready: Callable[[], object],
    ) -> None:
        """Make the publishers.

        Parameters
        ----------
        node:
            The builder's node.
        status:
            Asked each time something is published.
        period_s:
            Between two messages on ``/diagnostics``; 0 for none.
        on_ready:
            Called when an engine is in the cache, before that is told.

        """
        self._node = node
        self._name = f"{node.get_fully_qualified_name().lstrip('/')}: engines"
        self._ask = status
        self._on_ready = on_ready
        self._topics = DiagnosticTopics(node, "~/progress", lambda: [self._to_status()], period_s)
        self._phase = ""
        self._published = self._logged = float("-inf")

    def destroy(self) -> None:
        """Take the publishers away."""
        self._topics.destroy()

    # -- what the queue tells; on its thread or the executor's -----------------------------------

    def started(self, target: EngineTarget) -> None:
        """Say that a build begins."""
        self._phase, self._logged = "", time.monotonic()
        waiting = len(self._ask().waiting)
        more = f" ({waiting} more in line)" if waiting else ""
        if self._node.context.ok():
            self._node.get_logger().info(f"building {target}{more}")
        self.changed()

    def progressed(self, progress: BuildProgress) -> None:
        """Say how far it is: each phase for the debug level, all else now and then."""
        now = time.monotonic()
        is_new_phase = progress.phase != self._phase
        self._phase = progress.phase
        if self._node.context.ok():
            if now - self._logged >= _LOG_PERIOD_S:
                self._logged = now
                self._node.get_logger().info(str(progress))
            elif is_new_phase:
                self._node.get_logger().debug(str(progress))
        if is_new_phase or now - self._published >= _PUBLISH_PERIOD_S:
            self.changed()

    def ended(self, target: EngineTarget, result: EngineResult) -> None:
        """Say what came of it."""
        if result.kind is ResultKind.READY:
            self._on_ready()
        if self._node.context.ok():
            notes = "".join(f"\n  {note}" for note in result.notes)
            # One call for each level: rclpy ties a level to the line that logs.
            if result.kind.is_bad:
                self._node.get_logger().warning(f"{result.text}; {_NOT_AGAIN}{notes}")
            else:
                self._node.get_logger().info(f"{result.text}{notes}")
        self.changed()

    def changed(self) -> None:
        """Publish the status."""
        if self._node.context.ok():
            self._published = time.monotonic()
            self._topics.publish(self._to_status())

    def _to_status(self) -> DiagnosticStatus:
        """Tell what is being built, what waits, and what came of the rest."""
        status = self._ask()
        values = {"queue": ", ".join(map(str, status.waiting))}
        building, progress = status.building, status.progress
        if building is not None:
            values.update(model=building.model, precision=building.precision.value)
        if progress is not None:
            values.update(
                phase=progress.phase,
                percent="" if progress.fraction is None else f"{100 * progress.fraction:.0f}",
                elapsed_s=f"{progress.elapsed_s:.0f}",
                expected_s="" if progress.expected_s is None else f"{progress.expected_s:.0f}",
            )
        for target, result in status.results.items():
            values[f"result: {target.model} {target.precision.value}"] = (
                f"{result.kind.value}: {result.text}"
            )
        bad = [target for target, result in status.results.items() if result.kind.is_bad]
        return DiagnosticStatus(
            level=DiagnosticStatus.WARN if bad else DiagnosticStatus.OK,
            name=self._name,
            message="; ".join(_sentences(status, bad)),
            values=to_key_values(values),
        )


def _sentences(status: QueueStatus, bad: list[EngineTarget]) -> list[str]:
    """Say in one line how things are."""
    if not status.results and status.building is None:
        return ["nothing was asked for yet"]
    sentences = []
    if status.building is not None:
        sentences.append(f"building {status.building}")
    ready = sum(result.kind is ResultKind.READY for result in status.results.values())
    if ready:
        sentences.append(f"{ready} engines are ready" if ready != 1 else "1 engine is ready")
    if bad:
        sentences.append(f"there is no {', no '.join(map(str, bad))}: see the values")
    return sentences or ["cancelled"]
