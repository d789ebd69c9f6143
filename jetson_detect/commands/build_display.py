"""What a terminal shows of a build: a bar that moves, or, in a file, a line now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jetson_detect.builder.build_progress import BuildProgress

_LINE_EVERY_S = 15.0
"""Between two lines of the same phase where no terminal listens."""


class BuildDisplay:
    """Shows how far a build is; a context manager."""

    def __init__(self, console: Console) -> None:
        """Prepare; a bar is shown on a terminal only."""
        self._console = console
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
        """Take the latest state over."""
        engine = f"{progress.model} {progress.precision}"
        if self._bars is None:
            now = time.monotonic()
            if (engine, progress.phase) != (self._engine, self._phase) or now >= self._line_at:
                self._line_at = now + _LINE_EVERY_S
                self._console.print(str(progress), markup=False, highlight=False)
        else:
            if engine != self._engine or self._task is None:
                self._remove_bar()
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

    def _remove_bar(self) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None

    def __enter__(self) -> BuildDisplay:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
