"""What a replay tells on the screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import chain

from jetson_detect.bags.frames import Frame
from jetson_detect.bags.ledger import ReplayReport
from jetson_detect.bags.stamps import format_stamp
from jetson_detect.bags.verdict import GOLDEN, TRUTH, Comparisons, ReplayResult
from jetson_detect.core.replay_limits import OBJECT_LIMITS

_PROGRESS_S = 15.0
"""Between two lines about a replay that goes on."""


def show_result(result: ReplayResult) -> None:
    """Print what people want to know."""
    rows = list(chain(_rows(result.report), _comparison_rows(result.comparisons)))
    if not sys.stdout.isatty():
        for name, value in rows:
            print(f"{name}: {value}")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows:
        table.add_row(Text(name), Text(value))  # what is in the bag is no markup
    Console().print(table)


def show_progress(frames: Iterator[Frame], every_s: float = _PROGRESS_S) -> Iterator[Frame]:
    """Pass frames on, and tell now and then how many there were."""
    due = time.monotonic() + every_s
    for number, frame in enumerate(frames):
        if time.monotonic() >= due:
            due = time.monotonic() + every_s
            print(f"{number} images played", flush=True)
        yield frame


def show_checks(result: ReplayResult, quiet: bool) -> None:
    """Print the limits that are not kept, with the worst frames, and how many there were."""
    failed = [check for check in result.checks if not check.passed]
    for check in failed:
        print(f"replay: {check}", file=sys.stderr)
    about_golden = {*OBJECT_LIMITS, "known_frames", "played_frames"}
    if GOLDEN in result.comparisons and any(check.name in about_golden for check in failed):
        print(
            "replay: if the new answers are right, --update-golden makes them the golden bag",
            file=sys.stderr,
        )
    if not quiet and result.checks:
        kept = len(result.checks) - len(failed)
        print(f"limits kept: {kept} of {len(result.checks)}", flush=True)


def _rows(report: ReplayReport) -> Iterator[tuple[str, str]]:
    """Always the same rows first; oddities only where there are some."""
    yield "frames sent", str(report.sent)
    yield "answered", str(report.answered)
    yield "lost", str(len(report.lost))
    for name, count in (
        ("sent again", report.resent),
        ("late answers", report.late),
        ("duplicate answers", report.duplicates),
        ("answers out of order", report.out_of_order),
        ("answers of unknown stamp", report.unknown),
    ):
        if count:
            yield name, str(count)
    yield "empty answers", str(report.empty)
    classes = ", ".join(f"{name} {count}" for name, count in report.detections_by_class.items())
    yield "detections", f"{report.detections} ({classes})" if classes else str(report.detections)
    yield "duration", _with_unit(report.duration_s, "s", 2)
    yield "rate", _with_unit(report.fps, "frames/s", 1)
    latencies = (report.latency_p50_ms, report.latency_p99_ms, report.latency_max_ms)
    yield "latency p50, p99, max", ", ".join(_with_unit(one, "ms", 1) for one in latencies)
    shown = 10
    for frame in report.lost[:shown]:
        yield "lost frame", f"{frame.number} of {frame.topic}, stamp {format_stamp(frame.stamp)}"
    if len(report.lost) > shown:
        yield "", f"… and {len(report.lost) - shown} more; --report lists them all"


def _comparison_rows(
    comparisons: Comparisons,
) -> Iterator[tuple[str, str]]:
    for kind, by_topic in comparisons.items():
        for topic, figures in by_topic.items():
            frames = f"{len(figures.frames)} frames"
            if figures.unknown:
                frames += f", {len(figures.unknown)} unknown to it"
            if figures.absent:
                frames += f", {len(figures.absent)} of it not played"
            yield (
                f"beside the {kind}",
                f"{topic}: {frames}, {figures.objects} objects: "
                f"{figures.matched} found, {figures.missed} missed, {figures.extra} extra",
            )
            moved, drift = figures.moved_px, figures.score_drift
            if figures.matched:
                scores = "" if kind == TRUTH else f"; scores by {drift.largest:.3f}"
                yield (
                    "  edges off by",
                    f"{moved.largest:.2f} px at most, {moved.mean:.2f} px mean of frames{scores}",
                )
            accuracy = figures.accuracy
            if accuracy is not None:
                yield (
                    "  accuracy",
                    f"mAP50 {accuracy.map50:.3f}, mAP75 {accuracy.map75:.3f}, "
                    f"mAP50-95 {accuracy.map50_95:.3f}",
                )


def _with_unit(value: float | None, unit: str, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f} {unit}"
