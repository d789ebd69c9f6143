"""Measurements as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from jetson_detect.commands.comparison_rows import (
    ComparedRow,
    Quantity,
    detection_fps,
    inference_fps,
    runtime_of,
)
from jetson_detect.core.agreement import compare_detections
from jetson_detect.core.timing import Latency

_UNKNOWN = "-"


def comparison_table(rows: Sequence[ComparedRow], score_threshold: float) -> Table:
    """Make a table of measurements.

    Parameters
    ----------
    rows:
        One line each.
    score_threshold:
        From which score on detections have to agree with the reference's.

    """
    # Narrow: there is a lot to say in one line.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for name in ("backend", "file", "on"):
        table.add_column(name, overflow="fold")
    for name in ("max Δ\npx", "max Δ\nscore", "missed\n/extra", "mAP50\n/mAP75"):
        table.add_column(name, justify="right")
    for name in ("inference ms", "detection ms"):
        table.add_column(f"{name}\np50 / p95", justify="right")
        table.add_column("\nfps", justify="right")
        table.add_column("\nratio", justify="right")
    for name in ("RSS MB\n(peak)", "GPU\nMB", "start-\nup s"):
        table.add_column(name, justify="right")
    for row in rows:
        measured, latency = row.measured, row.measured.latency
        table.add_row(
            runtime_of(measured),
            f"{measured.file} {measured.precision}",
            measured.device,
            *_parity(row, score_threshold),
            "/".join(_number(value, 3) for value in (measured.map50, measured.map75)),
            *_speed(latency.inference, inference_fps, row),
            *_speed(latency.detection, detection_fps, row),
            f"{measured.rss_mb:.0f} ({_number(measured.peak_rss_mb)})",
            _number(measured.gpu_mb),
            f"{measured.start_up_s:.2f}",
        )
    return table


def _parity(row: ComparedRow, score_threshold: float) -> tuple[str, str, str]:
    """Write how far a row's detections are from the reference's."""
    measured, reference = row.measured, row.reference
    if row.is_reference:
        return ("reference", "", "")
    if reference is None or len(measured.detections) != len(reference.detections):
        return (_UNKNOWN, _UNKNOWN, _UNKNOWN)
    found = compare_detections(measured.found(), reference.found(), score_threshold)
    return (f"{found.box_px:.4f}", f"{found.score:.5f}", f"{found.missed}/{found.extra}")


def _speed(latency: Latency, per_second: Quantity, row: ComparedRow) -> tuple[str, str, str]:
    p95 = _number(None if latency.runs == 0 else latency.p95_ms, 2)
    fps, ratio = per_second(row.measured), row.ratio(per_second)
    return (
        f"{latency.p50_ms:.2f} / {p95}",
        _number(fps, 0 if fps is None or fps >= 100 else 1),
        _UNKNOWN if ratio is None else f"{ratio:.2f}×",
    )


def _number(value: float | None, digits: int = 0) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"
