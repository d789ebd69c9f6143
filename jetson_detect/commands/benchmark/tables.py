"""A section of the benchmark as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import CostRow, StreamRow
from jetson_detect.benchmark.stage_clock import STAGES

_UNKNOWN = "-"


def section_tables(section: Section) -> list[Table]:
    """Make the tables of a section: costs, streams and ratios, as far as it has them."""
    tables = []
    if section.costs:
        tables.append(_costs(section.costs))
    if section.streams:
        tables.append(_streams(section.streams))
    if section.ratios:
        tables.append(_ratios(section.ratios))
    return tables


def _costs(rows: Sequence[CostRow]) -> Table:
    table = _table(("case", "way"), ("median", "rounds from - to"))
    for row in rows:
        table.add_row(
            row.case,
            row.way,
            f"{_number(row.cost)} {row.unit}",
            f"{_number(min(row.rounds))} - {_number(max(row.rounds))}",
        )
    return table


def _streams(rows: Sequence[StreamRow]) -> Table:
    table = _table(
        ("case", "way", "frames"),
        ("fps", "CPU ms\na frame", *(f"{stage}\nms" for stage in STAGES)),
    )
    for name in ("latency ms\np50 / p95 / p99", "lost", "RSS\nMB", "GPU\nMB"):
        table.add_column(name, justify="right")
    for row in rows:
        latency = row.latency_ms
        table.add_row(
            row.case,
            row.way,
            row.drive,
            _number(row.fps),
            f"{row.cpu_ms:.2f}",
            *(
                f"{row.stages_ms[stage]:.2f}" if stage in row.stages_ms else _UNKNOWN
                for stage in STAGES
            ),
            f"{latency.p50:.2f} / {latency.p95:.2f} / {latency.p99:.2f}",
            f"{row.lost}/{row.sent}",
            _whole(row.rss_mb),
            _whole(row.gpu_mb),
        )
    return table


def _ratios(ratios: Sequence[Ratio]) -> Table:
    table = _table(("ratio",), ("",))
    for ratio in ratios:
        table.add_row(ratio.name, f"{ratio.value:.2f}×")
    return table


def _table(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _whole(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0f}"
