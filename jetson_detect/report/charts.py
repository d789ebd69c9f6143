"""Curves and bars as paths of SVG, for a plot area that is stretched to any size.

The area's coordinates are 0 to :data:`WIDTH` from left to right and 0 to :data:`HEIGHT` from top
to bottom.  Axes are not part of it: a browser writes their texts beside it, at a size that can be
read whatever the area's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1000, 100

_MOST_BINS = 120
_FRAMES_PER_BIN = 4
_HISTOGRAM_BINS = 40
_LONG_TAIL = 3.0
"""Latencies beyond so many times the 99th percentile share the last bar."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis."""

    at: float
    """Percent of the axis, from its beginning."""
    text: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart, or its bars."""

    name: str
    path: str
    """The ``d`` of an SVG path."""
    style: str
    """``main``, ``faint`` or ``bars``."""


@dataclass(frozen=True)
class Chart:
    """A chart and what it says in words."""

    title: str
    description: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_unit: str
    markers: tuple[Tick, ...] = ()
    """Upright lines at places of the x axis."""


@dataclass(frozen=True)
class TimeBins:
    """A time axis in parts of the same length, with a few frames in each."""

    edges: NDArray[np.float64]
    """(B + 1,): seconds."""
    index: NDArray[np.intp]
    """(N,): the part that each frame lies in."""

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> TimeBins | None:
        """Divide the time between the first frame and the last; None if that is none."""
        if len(seconds) < 2 or seconds[-1] <= seconds[0]:
            return None
        count = min(_MOST_BINS, max(1, len(seconds) // _FRAMES_PER_BIN))
        edges = np.linspace(seconds[0], seconds[-1], count + 1)
        return cls(edges, np.clip(np.searchsorted(edges, seconds, "right") - 1, 0, count - 1))

    def __len__(self) -> int:
        return len(self.edges) - 1

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B,): the mean of the frames' values in each part, NaN where there is no frame."""
        sums = np.bincount(self.index, values, len(self))
        frames = np.bincount(self.index, minlength=len(self))
        means: NDArray[np.float64] = np.where(frames > 0, sums / np.maximum(frames, 1), np.nan)
        return means


def rate_chart(seconds: NDArray[np.float64], bins: TimeBins) -> Chart:
    """Draw answered frames a second over time.

    The rate in a part of the time is how far the count of frames rises there, between two frames
    in proportion: it is exact for regular frames, wherever the parts begin.
    """
    counts = np.interp(bins.edges, seconds, np.arange(len(seconds)))
    rates = np.diff(counts) / np.diff(bins.edges)
    y_ticks, top = _axis(float(rates.max()), 3)
    return Chart(
        "Answered frames a second",
        f"{_number(float(rates.min()))} at least, {_number(float(rates.max()))} at most",
        (Curve("rate", _steps(rates / top), "main"),),
        _time_ticks(bins),
        y_ticks,
        "s",
    )


def latency_chart(latencies_ms: NDArray[np.float64], bins: TimeBins) -> Chart | None:
    """Draw the median and the longest latency over time; None if no latency is known."""
    known = np.isfinite(latencies_ms)
    if not known.any():
        return None
    parts = [latencies_ms[known & (bins.index == part)] for part in range(len(bins))]
    medians, longest = (
        np.array([np.percentile(part, percentile) if len(part) else np.nan for part in parts])
        for percentile in (50, 100)
    )
    most = float(np.nanmax(longest))
    y_ticks, top = _axis(most, 3)
    return Chart(
        "Latency in ms",
        f"the median and the longest over time, at most {_number(most)} ms",
        (
            Curve("longest", _steps(longest / top), "faint"),
            Curve("median", _steps(medians / top), "main"),
        ),
        _time_ticks(bins),
        y_ticks,
        "s",
    )


def latency_distribution(latencies_ms: NDArray[np.float64]) -> Chart | None:
    """Draw how often which latency occurs; None if none is known."""
    known = latencies_ms[np.isfinite(latencies_ms)]
    if not len(known):
        return None
    p50, p99 = (float(value) for value in np.percentile(known, (50, 99)))
    longest = float(known.max())
    has_tail = longest > _LONG_TAIL * p99
    x_ticks, end = _axis(_LONG_TAIL * p99 if has_tail else longest, 5)
    counts, _ = np.histogram(np.minimum(known, end), _HISTOGRAM_BINS, (0.0, end))
    y_ticks, top = _axis(float(counts.max()), 3)
    tail = f", the last bar holds all up to {_number(longest)} ms" if has_tail else ""
    return Chart(
        "Frames by latency",
        f"half within {_number(p50)} ms, 99 % within {_number(p99)} ms{tail}",
        (Curve("frames", _bars(counts / top), "bars"),),
        x_ticks,
        y_ticks,
        "ms",
        tuple(
            Tick(100 * min(1.0, value / end), name) for name, value in (("p50", p50), ("p99", p99))
        ),
    )


def sparkline(values: NDArray[np.float64], top: float) -> str:
    """Return a path of (B,) values between 0 and ``top``; NaN is a gap."""
    return _steps(values / top if top > 0 else values)


def _axis(most: float, count: int) -> tuple[tuple[Tick, ...], float]:
    """Return round numbers from 0 to the first that reaches ``most``, and that one."""
    if most <= 0:
        return (Tick(0.0, "0"), Tick(100.0, "1")), 1.0
    raw = most / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
    steps = max(1, math.ceil(most / step - 1e-9))
    ticks = (Tick(100 * index / steps, _number(step * index)) for index in range(steps + 1))
    return tuple(ticks), step * steps


def _time_ticks(bins: TimeBins) -> tuple[Tick, ...]:
    """Return round seconds that lie within the time shown."""
    duration = float(bins.edges[-1] - bins.edges[0])
    ticks, top = _axis(duration, 5)
    return tuple(
        Tick(tick.at * top / duration, tick.text)
        for tick in ticks
        if tick.at * top <= 100 * duration
    )


def _steps(fractions: NDArray[np.float64]) -> str:
    """A path that goes level over each part, with gaps where there is no number."""
    width = WIDTH / len(fractions)
    path: list[str] = []
    drawing = False
    for index, fraction in enumerate(fractions.tolist()):
        if not math.isfinite(fraction):
            drawing = False
            continue
        level = HEIGHT * max(0.0, 1 - fraction)
        start = f"M{index * width:.1f} {level:.1f}" if not drawing else f"V{level:.1f}"
        path.append(f"{start}H{(index + 1) * width:.1f}")
        drawing = True
    return "".join(path)


def _bars(fractions: NDArray[np.float64]) -> str:
    width = WIDTH / len(fractions)
    return "".join(
        f"M{index * width + 1:.1f} {HEIGHT}V{HEIGHT * (1 - fraction):.1f}"
        f"H{(index + 1) * width - 1:.1f}V{HEIGHT}Z"
        for index, fraction in enumerate(fractions.tolist())
        if fraction > 0
    )


def _number(value: float) -> str:
    """Write a number with three digits, but never as a power of ten."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
