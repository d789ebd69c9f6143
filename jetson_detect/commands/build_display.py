"""What a terminal shows of a build: a bar that moves, or, in a file, a line now and then."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.commands.stop_signals import StopSignals
from jetson_detect.core.closing import Closing

_LINE_EVERY_S = 15.0
"""Between two lines of the same phase where no terminal listens."""


class BuildDisplay(Closing):
    """Shows how far a build is, and has it cancelled when a signal came."""

    def __init__(self, console: Console, stop: StopSignals) -> None:
        """Prepare.

        Parameters
        ----------
        console:
            Where; a bar is shown on a terminal only.
        stop:
            Asked whenever there is something to show.

        """
        self.cancel = threading.Event()
        """For the builder; not set by the signals' handler, which may interrupt who waits for it
        at a moment when that is not safe."""
        self._console, self._stop = console, stop
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[part]}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[expected]}"),
                console=console,
                transient=True,
            )
        self._task: TaskID | None = None
        self._engine = self._phase = ""
        self._line_at = 0.0

    def show(self, progress: BuildProgress) -> None:
        """Take the latest state over; cancel the build if a signal came."""
        if self._stop.requested:
            self.cancel.set()
        engine = f"{progress.model} {progress.precision}"
        if self._bars is None:
            now = time.monotonic()
            if (engine, progress.phase) != (self._engine, self._phase) or now >= self._line_at:
                self._line_at = now + _LINE_EVERY_S
                self._console.print(str(progress), markup=False, highlight=False)
        else:
            if engine != self._engine or self._task is None:
                self._remove_bar()
                self._bars.start()
                self._task = self._bars.add_task(engine, total=None, part="", expected="")
            known = progress.fraction is not None
            expected = progress.expected_s
            self._bars.update(
                self._task,
                description=f"{engine}: {progress.phase}",
                total=1.0 if known else None,
                completed=progress.fraction or 0.0,
                part=f"{progress.fraction:4.0%}" if known else "    ",
                expected=f"of about {expected:.0f} s" if expected is not None else "",
            )
        self._engine, self._phase = engine, progress.phase

    def done(self, text: str) -> None:
        """Replace the bar by what came of it."""
        self._remove_bar()
        self._engine = ""
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away; may be called twice."""
        if self._bars is not None:
            self._bars.stop()

    def _remove_bar(self) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
