"""How far a build is: TensorRT's nested phases as one fraction, and the way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from jetson_detect.core.tensorrt_library.features import Features

if TYPE_CHECKING:
    import tensorrt as trt

ProgressCallback = Callable[[str, float | None], None]
"""Told what is being done, in words, and which part of it is behind, 0 to 1; None where nobody
knows."""


@dataclass(eq=False)
class _Phase:
    """A phase that has begun: some steps, the current of which may be divided by other phases."""

    name: str
    parent: _Phase | None
    steps: int
    done: int = 0

    def fraction(self, inner: float = 0.0) -> float:
        """Return how much is done, if ``inner`` of the current step is."""
        return min(1.0, (self.done + inner) / max(1, self.steps))


class ProgressTracker:
    """Follows the phases that TensorRT tells, and tells them on; TensorRT's threads may call it."""

    def __init__(self, report: ProgressCallback | None, features: Features) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._fraction: float | None = 0.0 if features.progress_monitor else None
        self.failure: BaseException | None = None
        """What the report raised inside TensorRT, through which no exception can pass."""

    def enter(self, words: str, finished: bool = False) -> None:
        """Tell a phase of our own; what the report raises comes out."""
        if finished and self._fraction is not None:
            self._fraction = 1.0
        if self._report is not None:
            self._report(words, self._fraction)

    def begin(self, name: str, parent: str | None, steps: int) -> None:
        """Take that TensorRT began a phase, within a step of its parent."""
        with self._lock:
            above = self._phases.get(parent) if parent else None
            self._phases[name] = phase = _Phase(name, above, steps)
            self._tell(phase)

    def advance(self, name: str, step: int) -> bool:
        """Take that a step, counted from 0, is done; return whether the build shall go on."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done = max(phase.done, step + 1)
                self._tell(phase)
            return self.failure is None

    def end(self, name: str) -> None:
        """Take that a phase is over."""
        with self._lock:
            self._phases.pop(name, None)

    def _tell(self, phase: _Phase) -> None:
        """Tell where a phase stands in the whole."""
        fraction, outer, words = phase.fraction(), phase, phase.name
        while outer.parent is not None:
            # The outermost but one: those further in have names of single kernels.
            words = outer.name
            outer = outer.parent
            fraction = outer.fraction(fraction)
        # A phase that ends before its parent's step does, or a second root, must not lead back.
        self._fraction = max(self._fraction or 0.0, fraction)
        if self._report is None or self.failure is not None:
            return
        try:
            self._report(f"building: {words}", self._fraction)
        except BaseException as error:
            self.failure = error


def progress_monitor(
    trt: ModuleType, features: Features, tracker: ProgressTracker
) -> trt.IProgressMonitor | None:
    """Return what TensorRT tells its progress to; None for versions that tell none."""
    if features.progress_monitor:

        class ProgressMonitor(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                tracker.begin(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return tracker.advance(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                tracker.end(phase_name)

        return ProgressMonitor()
    return None
