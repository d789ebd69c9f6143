"""Measurements as a picture: throughput and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jetson_detect.commands.comparison_rows import (
    ComparedRow,
    Quantity,
    detection_fps,
    inference_fps,
    runtime_of,
)

_WIDTH_IN = 11.0
"""A page across."""
_ROW_IN, _FRAME_IN = 0.62, 1.7
_LEGEND_IN = 0.28
"""Below the axes, and their numbers."""
_DPI = 150
_BAR = 0.38
"""Of the space between two rows."""
_ROOM = 1.36
"""Of the longest bar, so that its text has room beside it."""


class PlotError(RuntimeError):
    """A picture that cannot be made; the message names file or library, and the remedy."""


class ComparisonPlot:
    """Two panels of bars, a pair for each measurement; colours that differ in grey as well."""

    def __init__(self, file: Path) -> None:
        """Check that the picture can be made, which one wants to know before hours of measuring.

        Raises
        ------
        PlotError
            If matplotlib is missing, does not know the format, or the folder does not exist.

        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        # A matplotlib that does not fit this NumPy raises much else than ImportError.
        except Exception as error:
            raise PlotError(
                f"--plot needs matplotlib, which cannot be imported ({error}): pip install "
                "matplotlib, or write --json here and draw it elsewhere with --add"
            ) from error
        kinds = FigureCanvasAgg(Figure()).get_supported_filetypes()
        if file.suffix.lstrip(".").lower() not in kinds:
            raise PlotError(
                f"{file}: '{file.suffix}' is no format of pictures; end the name in .png or one of "
                f"{', '.join(sorted(kinds))}"
            )
        if not file.parent.is_dir():
            raise PlotError(f"{file}: there is no folder {file.parent}; make it first")
        self._file, self._new_figure = file, Figure

    def write(self, title: str, rows: Sequence[ComparedRow]) -> None:
        """Draw measurements and write the file.

        Parameters
        ----------
        title:
            What was measured.
        rows:
            A pair of bars each, the first on top.

        Raises
        ------
        PlotError
            If there is nothing to show, or the file cannot be written.

        """
        if not rows:
            raise PlotError(f"{self._file}: was not written, since nothing was measured")
        figure = self._new_figure(
            figsize=(_WIDTH_IN, _FRAME_IN + _ROW_IN * len(rows)), layout="constrained"
        )
        figure.suptitle(f"{title}\n{_conditions(rows)}", fontsize=11)
        throughput, memory = figure.subplots(1, 2, sharey=True)
        _draw(
            throughput,
            "frames per second, one frame in flight",
            rows,
            (
                _Bars("inference alone", inference_fps, "#0b4f7d"),
                _Bars("whole detection", detection_fps, "#8cc5e8"),
            ),
        )
        _draw(
            memory,
            "memory of the process, MB",
            rows,
            (
                _Bars("resident", lambda row: row.rss_mb, "#5b5b5b"),
                _Bars("GPU", lambda row: row.gpu_mb, "#f0b45a"),
            ),
        )
        throughput.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8.5)
        throughput.invert_yaxis()
        try:
            figure.savefig(self._file, dpi=_DPI, bbox_inches="tight", pad_inches=0.15)
        except OSError as error:
            raise PlotError(f"{self._file}: cannot be written ({error.strerror})") from error


@dataclass(frozen=True)
class _Bars:
    """One number of all measurements."""

    label: str
    quantity: Quantity
    color: str


def _draw(axes: Any, title: str, rows: Sequence[ComparedRow], pair: Sequence[_Bars]) -> None:
    longest = 0.0
    for offset, bars in zip((-_BAR / 2, _BAR / 2), pair):
        values = [bars.quantity(row.measured) for row in rows]
        widths = [value or 0.0 for value in values]
        longest = max(longest, *widths)
        drawn = axes.barh(
            [index + offset for index in range(len(rows))],
            widths,
            _BAR,
            label=bars.label,
            color=bars.color,
            edgecolor="black",
            linewidth=0.5,
        )
        texts = [_text(row, value, bars.quantity) for row, value in zip(rows, values)]
        axes.bar_label(drawn, texts, padding=3, fontsize=8)
    axes.set_xlim(0.0, longest * _ROOM or 1.0)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    # Below the axes, where there is never a bar.
    below = -_LEGEND_IN / (_ROW_IN * len(rows))
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, below), ncol=2, fontsize=8.5, frameon=False
    )


def _text(row: ComparedRow, value: float | None, quantity: Quantity) -> str:
    """Write a number, and how many times the reference's it is."""
    if value is None:
        return "-"
    number = f"{value:.1f}" if 0 < value < 100 else f"{value:.0f}"
    ratio = row.ratio(quantity)
    if not ratio or row.is_reference:
        return number
    return f"{number}  ({ratio:.{1 if ratio >= 1 else 2}f}x)"


def _label(row: ComparedRow) -> str:
    measured = row.measured
    mark = "  (= 1x)" if row.is_reference else ""
    return (
        f"{runtime_of(measured)}  {measured.precision.upper()}{mark}\n"
        f"{measured.file} on {measured.device}"
    )


def _conditions(rows: Sequence[ComparedRow]) -> str:
    """Say how often was measured, and what the ratios refer to."""
    counts = {(row.measured.latency.inference.runs, row.measured.warm_up) for row in rows}
    parts = []
    if len(counts) == 1:
        (runs, warm_up) = counts.pop()
        parts.append(f"{runs} runs" + (f" after {warm_up} to warm up" if warm_up else ""))
    references = {runtime_of(row.reference) for row in rows if row.reference is not None}
    if references:
        parts.append(f"ratios to {', '.join(sorted(references))}")
    return ", ".join(parts)
