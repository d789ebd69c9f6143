"""A report of the benchmark as pictures: bars, and distributions of latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jetson_detect.benchmark.report import Report, Section
from jetson_detect.benchmark.rows import CostRow, StreamRow
from jetson_detect.benchmark.stage_clock import STAGES
from jetson_detect.commands.comparison_plot import PlotError

_WIDTH_IN, _ROW_IN, _FRAME_IN = 10.0, 0.3, 1.6
_CDF_IN = 4.5
_DPI = 130
_BAR = 0.7
_COLORS = ("#0b4f7d", "#8cc5e8", "#5b5b5b", "#f0b45a", "#a03a3a")
"""Differ in grey as well."""
_UNTOLD = "#c9c9c9"
"""Of a bar whose stages are not known."""
_ROOM = 1.15
"""Of the longest bar, so that its number has room beside it."""

R = TypeVar("R", CostRow, StreamRow)


class BenchmarkPlots:
    """Writes a picture for each section's costs, CPU time and latencies into one folder."""

    def __init__(self, folder: Path) -> None:
        """Check that pictures can be made, which one wants to know before measuring.

        Raises
        ------
        PlotError
            If matplotlib is missing, or the folder cannot be made.

        """
        try:
            from matplotlib.figure import Figure
        # A matplotlib that does not fit this NumPy raises much else than ImportError.
        except Exception as error:
            raise PlotError(
                f"--plots needs matplotlib, which cannot be imported ({error}): pip install "
                "matplotlib, or go without"
            ) from error
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlotError(f"{folder}: cannot be made ({error.strerror})") from error
        self._folder, self._new_figure = folder, Figure

    def write(self, report: Report) -> list[Path]:
        """Draw all sections and return the files.

        Raises
        ------
        PlotError
            If one cannot be written.

        """
        files = []
        for section in report.sections:
            if section.costs:
                files.append(self._costs(section))
            if section.streams:
                files += [self._cpu(section), self._latencies(section)]
        return files

    def _costs(self, section: Section) -> Path:
        """Bars on a scale of powers of ten, as one way may take a hundred times another's time."""
        rows = section.costs
        figure, axes = self._bars(section, f"median, {rows[0].unit}", rows)
        ways = list(dict.fromkeys(row.way for row in rows))
        drawn = axes.barh(
            range(len(rows)),
            [row.cost for row in rows],
            _BAR,
            color=[_COLORS[ways.index(row.way) % len(_COLORS)] for row in rows],
            edgecolor="black",
            linewidth=0.5,
        )
        axes.bar_label(drawn, [f"{row.cost:.3g}" for row in rows], padding=3, fontsize=8)
        axes.set_xscale("log")
        return self._save(figure, f"{section.name}_cost")

    def _cpu(self, section: Section) -> Path:
        """Bars of CPU time, the stages side by side where they are known."""
        rows = section.streams
        figure, axes = self._bars(section, "CPU time of a frame, ms", rows)
        left = np.zeros(len(rows))
        for stage, color in zip(STAGES, _COLORS):
            widths = np.array([row.stages_ms.get(stage, 0.0) for row in rows])
            axes.barh(
                range(len(rows)),
                widths,
                _BAR,
                left=left,
                label=stage,
                color=color,
                edgecolor="black",
                linewidth=0.4,
            )
            left += widths
        untold = np.array([0.0 if row.stages_ms else row.cpu_ms for row in rows])
        axes.barh(range(len(rows)), untold, _BAR, color=_UNTOLD, edgecolor="black", linewidth=0.4)
        for index, row in enumerate(rows):
            axes.annotate(
                f"{row.cpu_ms:.2f}",
                (max(row.cpu_ms, left[index]), index),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_xlim(0.0, _ROOM * max(row.cpu_ms for row in rows))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=5, frameon=False)
        return self._save(figure, f"{section.name}_cpu")

    def _latencies(self, section: Section) -> Path:
        """Draw which part of the frames was answered within a time, a panel for each case."""
        cases = list(dict.fromkeys(row.case for row in section.streams))
        figure = self._new_figure(figsize=(_WIDTH_IN, _CDF_IN * len(cases)), layout="constrained")
        figure.suptitle(section.title, fontsize=10, wrap=True)
        panels = np.atleast_1d(figure.subplots(len(cases), 1))
        for case, axes in zip(cases, panels):
            for row in section.streams:
                if row.case == case and row.latencies_ms:
                    latencies = np.sort(row.latencies_ms)
                    parts = np.arange(1, len(latencies) + 1) / len(latencies)
                    axes.step(latencies, parts, where="post", label=f"{row.way}, {row.drive}")
            axes.set_xscale("log")
            axes.set_ylim(0.0, 1.0)
            axes.set_title(case, fontsize=10)
            axes.set_xlabel("latency, ms")
            axes.set_ylabel("part of the frames")
            axes.grid(color="0.85", linewidth=0.6)
            axes.legend(fontsize=8)
        return self._save(figure, f"{section.name}_latency")

    def _bars(self, section: Section, what: str, rows: Sequence[R]) -> tuple[Any, Any]:
        """Make a figure with room for a bar for each row, the first one on top."""
        figure = self._new_figure(
            figsize=(_WIDTH_IN, _FRAME_IN + _ROW_IN * len(rows)), layout="constrained"
        )
        figure.suptitle(section.title, fontsize=10, wrap=True)
        axes = figure.subplots()
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(what)
        axes.grid(axis="x", color="0.85", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        return figure, axes

    def _save(self, figure: Any, name: str) -> Path:
        file = self._folder / f"{name}.png"
        try:
            figure.savefig(file, dpi=_DPI)
        except OSError as error:
            raise PlotError(f"{file}: cannot be written ({error.strerror})") from error
        return file


def _label(row: CostRow | StreamRow) -> str:
    if isinstance(row, CostRow):
        return f"{row.case}: {row.way}"
    return f"{row.case}: {row.way}, {row.drive}"
