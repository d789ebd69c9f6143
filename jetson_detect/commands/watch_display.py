"""What a watch shows: a live table, a line now and then, the final table."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from jetson_detect.core.watch_log import WatchSummary

_LIVE_PERIOD_S, _LINE_PERIOD_S = 0.5, 1.0


class Display:
    """Shows how things stand, again and again, from a thread of its own; a context manager."""

    def __init__(self, console: Console, render: Any) -> None:
        """Prepare.

        Args:
            console: where; on a terminal what was shown is replaced.
            render: makes what is shown; its argument is whether that is replaced.
        """
        self._console, self._render = console, render
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        from rich.live import Live

        if not self._console.is_terminal:
            last = None
            while not self._stop.wait(_LINE_PERIOD_S):
                line = self._render(False)
                if line != last:
                    self._console.print(line, soft_wrap=True)
                last = line
            return
        # Transient: the final table takes its place.
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while not self._stop.wait(_LIVE_PERIOD_S):
                live.update(self._render(True), refresh=True)


def progress_line(summary: WatchSummary) -> str:
    """Say how things stand in one line."""
    last = f"{summary.detections} detections"
    if summary.accuracy is not None:
        last = f"mAP50 {summary.accuracy.map50:.3f}"
    return (
        f"{summary.frames:5d} frames  {_number(summary.recent_fps, '.1f')} fps  "
        f"latency p50 {_milliseconds(summary.latency_p50_s)}, "
        f"p99 {_milliseconds(summary.latency_p99_s)}  {last}"
    )


def summary_table(
    summary: WatchSummary, title: str, *, live: bool = False, note: str = ""
) -> RenderableType:
    """Make the table: figures of the stream, then a row for each class.

    Args:
        summary: what is shown.
        title: what was watched.
        live: show the rate of the last seconds rather than of the whole time.
        note: shown below.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    stream = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    rate = summary.recent_fps if live else summary.fps
    frames = f"{summary.frames} ({summary.empty} without an object)"
    if summary.repeated:
        frames += f", {summary.repeated} answered again"
    stream.add_row("frames", frames)
    stream.add_row("rate", f"{_number(rate, '.1f')} fps")
    stream.add_row(
        "latency",
        f"p50 {_milliseconds(summary.latency_p50_s)}, p99 {_milliseconds(summary.latency_p99_s)}",
    )
    accuracy = summary.accuracy
    if accuracy is not None:
        stream.add_row(
            "accuracy",
            f"mAP50 {accuracy.map50:.3f}, mAP75 {accuracy.map75:.3f}, "
            f"mAP50-95 {accuracy.map50_95:.3f} on {summary.compared} frames",
        )
    classes = Table(box=box.SIMPLE_HEAD)
    classes.add_column("class")
    classes.add_column("detections", justify="right")
    names = list(summary.by_class)
    if accuracy is not None:
        classes.add_column("AP50", justify="right")
        classes.add_column("AP75", justify="right")
        names += [name for name in accuracy.ap50_by_class if name not in summary.by_class]
    for name in names:
        cells = [name, str(summary.by_class.get(name, 0))]
        if accuracy is not None:
            for precisions in (accuracy.ap50_by_class, accuracy.ap75_by_class):
                cells.append(_number(precisions.get(name), ".3f"))
        classes.add_row(*cells)
    parts: list[RenderableType] = [Text(title, style="bold"), stream]
    if names:
        parts.append(classes)
    if note:
        parts.append(Text(note, style="yellow"))
    return Group(*parts)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or value != value else format(value, form)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f} ms"
