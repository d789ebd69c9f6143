"""What stands in a report, in words, numbers and paths: the template only sets it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jetson_detect.bags.stamps import format_stamp
from jetson_detect.core.drawing import class_hue
from jetson_detect.core.evaluation import Evaluation, EvaluationError
from jetson_detect.core.replay_limits import Check
from jetson_detect.report.charts import (
    Chart,
    TimeBins,
    latency_chart,
    latency_distribution,
    rate_chart,
    sparkline,
)
from jetson_detect.report.frame_figure import FrameFigure, frames_within, make_figure
from jetson_detect.report.topic_record import PictureChoice, ShownFrame, TopicRecord

UNKNOWN = "–"
"""For a number that is not known."""


@dataclass(frozen=True)
class WorstRow:
    """A row of the table of the worst frames."""

    anchor: str
    """Of its figure; empty if that is not shown."""
    number: int
    stamp: str
    differences: tuple[int, ...]
    """Missed and extra of each reference."""
    latency: str


@dataclass(frozen=True)
class ClassRow:
    """A class and how often it was found."""

    name: str
    hue: int
    objects: int
    per_frame: str
    references: tuple[int, ...]
    """Objects of each reference."""
    ap50: str
    path: str
    """Of a curve: objects a frame over time."""
    most: str
    """The curve's highest value."""


@dataclass(frozen=True)
class TopicSection:
    """All about one topic."""

    anchor: str
    topic: str
    headlines: tuple[tuple[str, str], ...]
    references: tuple[str, ...]
    charts: tuple[Chart, ...]
    classes: tuple[ClassRow, ...]
    figures: tuple[FrameFigure, ...]
    size: tuple[int, int]
    """Of the largest picture."""
    worst: tuple[WorstRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    headlines: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    environment: tuple[tuple[str, str], ...]
    topics: tuple[TopicSection, ...]

    @property
    def failed(self) -> int:
        """Demands that were not met."""
        return sum(not check.passed for check in self.checks)


def make_page(
    title: str,
    records: Sequence[TopicRecord],
    choice: PictureChoice,
    checks: Sequence[Check],
    environment: Mapping[str, str],
) -> Page:
    """Put a report together."""
    budget = choice.max_megabytes * 1e6 / max(1, len(records))
    precisions = [_precision(record) for record in records]
    return Page(
        title=title,
        headlines=_headlines(records, precisions),
        checks=tuple(checks),
        environment=tuple(environment.items()),
        topics=tuple(
            _section(index, record, precision, budget)
            for index, (record, precision) in enumerate(zip(records, precisions))
        ),
    )


def _precision(record: TopicRecord) -> Evaluation | str | None:
    """Return the precision, why there is none, or None without truth."""
    try:
        return record.precision()
    except EvaluationError as error:
        return str(error)


def _headlines(
    records: Sequence[TopicRecord], precisions: Sequence[Evaluation | str | None]
) -> tuple[tuple[str, str], ...]:
    """Sum up topics; a mean average precision is told of a single one."""
    answered = sum(record.answered for record in records)
    lost = sum(record.lost for record in records)
    latencies = np.concatenate([record.latencies_ms for record in records] or [np.empty(0)])
    latencies = latencies[np.isfinite(latencies)]
    rates = [rate for record in records if (rate := _rate(record)) is not None]
    p50, p99 = np.percentile(latencies, (50, 99)).tolist() if len(latencies) else (None, None)
    lines = [
        ("frames", str(answered + lost)),
        ("answered", str(answered)),
        ("frames a second, by stamps", _shown(sum(rates) if rates else None, 1)),
        ("latency p50", _shown(p50, 1, " ms")),
        ("latency p99", _shown(p99, 1, " ms")),
    ]
    if len(records) == 1 and precisions[0] is not None:
        known = precisions[0] if isinstance(precisions[0], Evaluation) else None
        lines += [
            ("mAP50", _shown(None if known is None else known.map50, 3)),
            ("mAP50-95", _shown(None if known is None else known.map50_95, 3)),
        ]
    for kind in _references(records):
        lines += [
            (f"missed, by {kind}", str(sum(record.missed[kind] for record in records))),
            (f"extra, by {kind}", str(sum(record.extra[kind] for record in records))),
        ]
    return tuple(lines)


def _rate(record: TopicRecord) -> float | None:
    """Answered frames a second of the recording."""
    duration = float(record.seconds[-1]) if record.answered else 0.0
    return (record.answered - 1) / duration if duration > 0 else None


def _references(records: Sequence[TopicRecord]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind for record in records for kind in record.reference_objects))


def _section(
    index: int, record: TopicRecord, precision: Evaluation | str | None, budget: float
) -> TopicSection:
    bins = TimeBins.of(record.seconds)
    latencies = record.latencies_ms
    charts = [latency_distribution(latencies)]
    if bins is not None:
        charts = [rate_chart(record.seconds, bins), latency_chart(latencies, bins), *charts]
    shown = frames_within(budget, record)
    worst = record.worst
    worst_numbers = {frame.number for frame in worst}
    anchors = {frame.number: f"frame-{index}-{frame.number}" for frame in shown}
    references = _references([record])
    notes = []
    if isinstance(precision, str):
        notes.append(precision)
    if record.beyond_labels:
        notes.append(
            f"{record.beyond_labels} objects of the truth are of no class that the model knows; "
            "they count as missed, and mAP leaves them out."
        )
    return TopicSection(
        anchor=f"topic-{index}",
        topic=record.topic,
        headlines=_headlines([record], [precision]),
        references=references,
        charts=tuple(chart for chart in charts if chart is not None),
        classes=_classes(record, references, precision, bins),
        figures=tuple(
            make_figure(frame, anchors[frame.number], frame.number in worst_numbers, record.topic)
            for frame in shown
        ),
        size=max((frame.size for frame in shown), default=(4, 3)),
        worst=tuple(
            _worst_row(frame, anchors.get(frame.number, ""), references) for frame in worst
        ),
        notes=tuple(notes),
    )


def _worst_row(frame: ShownFrame, anchor: str, references: Sequence[str]) -> WorstRow:
    counts: list[int] = []
    for kind in references:
        difference = frame.differences.get(kind)
        counts += [difference.missed, difference.extra] if difference is not None else [0, 0]
    return WorstRow(
        anchor,
        frame.number,
        format_stamp(frame.stamp_ns),
        tuple(counts),
        _shown(frame.latency_ms, 1, " ms"),
    )


def _classes(
    record: TopicRecord,
    references: Sequence[str],
    precision: Evaluation | str | None,
    bins: TimeBins | None,
) -> tuple[ClassRow, ...]:
    """Make a row for each class that was found or should have been, the most frequent first."""
    frames, classes = record.objects
    found = Counter(classes.tolist())
    counters = [record.reference_objects[kind] for kind in references]
    present = set(found).union(*counters)
    curves: dict[int, NDArray[np.float64]] = {}
    for class_id in present:
        in_frame = np.bincount(frames[classes == class_id], minlength=record.answered)
        curves[class_id] = (
            bins.mean(in_frame.astype(np.float64)) if bins is not None else np.empty(0)
        )
    top = max((float(np.nanmax(curve)) for curve in curves.values() if len(curve)), default=0.0)
    by_class = precision.ap50_by_class if isinstance(precision, Evaluation) else {}
    rows = []
    for class_id in sorted(present, key=lambda one: (-found.get(one, 0), one)):
        curve = curves[class_id]
        rows.append(
            ClassRow(
                name=record.class_name(class_id),
                hue=round(360 * class_hue(class_id)),
                objects=found.get(class_id, 0),
                per_frame=_shown(found.get(class_id, 0) / record.answered, 2),
                references=tuple(counter[class_id] for counter in counters),
                ap50=_shown(by_class.get(record.class_name(class_id)), 3),
                path=sparkline(curve, top) if len(curve) else "",
                most=_shown(float(np.nanmax(curve)) if len(curve) else None, 1),
            )
        )
    return tuple(rows)


def _shown(value: float | None, digits: int, unit: str = "") -> str:
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.{digits}f}{unit}"
