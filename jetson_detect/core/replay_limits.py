"""What a replay may differ from its reference, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

# Which import OpenCV: `replay --help` lists the limits and answers at once.
if TYPE_CHECKING:
    from jetson_detect.core.golden_comparison import ComparedFrame, ComparisonFigures

_FRAMES_NAMED = 5


@dataclass(frozen=True)
class Allowance:
    """So many objects, or such a share of those in the reference."""

    number: float
    is_share: bool = False
    """Whether the number is a share: 0.02 is one in fifty."""

    @classmethod
    def parse(cls, text: str | float) -> Allowance:
        """Read ``3`` or ``2%``.

        Raises
        ------
        ValueError
            If it is neither, or below 0.

        """
        words = str(text).strip()
        try:
            number = float(words.removesuffix("%"))
        except ValueError:
            number = -1.0
        if not 0.0 <= number < float("inf"):
            raise ValueError(f"'{text}' is neither a number of objects, as 3, nor a share, as 2%")
        return cls(number / 100.0, True) if words.endswith("%") else cls(number)

    def permits(self, count: int, of: int) -> bool:
        """Whether ``count`` objects are few enough, beside a reference that has ``of``."""
        return count <= (self.number * of if self.is_share else self.number)

    def __str__(self) -> str:
        return f"{self.number * 100:g} %" if self.is_share else f"{self.number:g}"


@dataclass(frozen=True)
class ReplayLimits:
    """What is demanded of a replay; None is not checked.  Each topic is judged by itself."""

    max_missed: Allowance | None = None
    """Objects of the reference that are not found."""
    max_extra: Allowance | None = None
    """Objects that are found and are not in the reference."""
    max_moved_px: float | None = None
    """The most that an edge of a box may be off, pixels of the image."""
    max_score_drift: float | None = None
    """The most that a score may be off."""
    min_map50: float | None = None
    min_map75: float | None = None
    min_map50_95: float | None = None
    """Average precision with the reference for truth, 0 to 1."""
    max_latency_ms_p50: float | None = None
    max_latency_ms_p99: float | None = None
    """From a frame to its answer, milliseconds."""
    min_fps: float | None = None
    """Answers a second."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> ReplayLimits:
        """Read limits by their names; allowances may be numbers, or texts as ``2%``.

        Raises
        ------
        TypeError
            If a name is not known.
        ValueError
            If an allowance is neither a number nor a share.

        """
        known = [each.name for each in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise TypeError(f"limit '{unknown[0]}' is not known; there are {', '.join(known)}")
        limits = dict(values)
        for name in ("max_missed", "max_extra"):
            given = limits.get(name)
            if given is not None and not isinstance(given, Allowance):
                limits[name] = Allowance.parse(given)
        return cls(**limits)

    def or_else(self, other: ReplayLimits) -> ReplayLimits:
        """Fill in what is not demanded from other limits."""
        missing = [each.name for each in fields(self) if getattr(self, each.name) is None]
        return replace(self, **{name: getattr(other, name) for name in missing})

    def only(self, names: Sequence[str]) -> ReplayLimits:
        """Keep the limits of these names."""
        return ReplayLimits(**{name: getattr(self, name) for name in names})


GOLDEN_LIMITS = ReplayLimits(
    max_missed=Allowance(0), max_extra=Allowance(0), max_moved_px=1.0, max_score_drift=0.02
)
"""Beside an earlier run, unless others are given: what the same file keeps on another CPU."""

OBJECT_LIMITS = ("max_missed", "max_extra", "max_moved_px", "max_score_drift")
ACCURACY_LIMITS = ("min_map50", "min_map75", "min_map50_95")


@dataclass(frozen=True)
class Check:
    """One demand on one topic, and whether it is met."""

    name: str
    """Of the limit, as the field of :class:`ReplayLimits`."""
    topic: str
    passed: bool
    measured: str
    """With its unit."""
    limit: str
    """As ``at most 3``."""
    frames: tuple[str, ...] = ()
    """The worst frames, where it failed."""

    @property
    def verdict(self) -> str:
        """One line: what was measured, and what is allowed."""
        return f"{self.name} of {self.topic}: {self.measured} (required: {self.limit})"

    def __str__(self) -> str:
        return "\n".join([self.verdict, *(f"  {frame}" for frame in self.frames)])


def check_objects(topic: str, limits: ReplayLimits, figures: ComparisonFigures) -> Iterator[Check]:
    """Judge what was missed, extra, moved, and drifted in its score."""
    counts: tuple[tuple[str, int, Callable[[ComparedFrame], float]], ...] = (
        ("max_missed", figures.missed, lambda frame: frame.missed_count),
        ("max_extra", figures.extra, lambda frame: frame.extra_count),
    )
    for name, count, badness in counts:
        allowance: Allowance | None = getattr(limits, name)
        if allowance is not None:
            passed = allowance.permits(count, figures.objects)
            measured = f"{count} {name.removeprefix('max_')} of {figures.objects} objects"
            frames = () if passed else worst_frames(figures.frames, badness)
            yield Check(name, topic, passed, measured, f"at most {allowance}", frames)
    largest: tuple[tuple[str, float, str, Callable[[ComparedFrame], float]], ...] = (
        ("max_moved_px", figures.moved_px.largest, " px", lambda frame: frame.moved_px),
        ("max_score_drift", figures.score_drift.largest, "", lambda frame: frame.score_drift),
    )
    for name, value, unit, badness in largest:
        limit: float | None = getattr(limits, name)
        if limit is not None:
            passed = value <= limit
            frames = () if passed else worst_frames(figures.frames, badness, above=limit)
            measured = f"{value:.4g}{unit}"
            yield Check(name, topic, passed, measured, f"at most {limit:g}{unit}", frames)


def check_accuracy(topic: str, limits: ReplayLimits, figures: ComparisonFigures) -> Iterator[Check]:
    """Judge the mean average precision; where it is not known, a demand is not met."""
    for name in ACCURACY_LIMITS:
        limit: float | None = getattr(limits, name)
        if limit is None:
            continue
        accuracy = figures.accuracy
        value = None if accuracy is None else float(getattr(accuracy, name.removeprefix("min_")))
        passed = value is not None and value >= limit
        measured = f"{value:.4f}" if value is not None else f"unknown: {figures.accuracy_problem}"
        frames = () if passed else worst_frames(figures.frames, lambda frame: frame.differences)
        yield Check(name, topic, passed, measured, f"at least {limit:g}", frames)


def check_speed(
    topic: str,
    limits: ReplayLimits,
    latency_ms_p50: float | None,
    latency_ms_p99: float | None,
    fps: float | None,
) -> Iterator[Check]:
    """Judge latency and rate; where they are not known, a demand is not met."""
    for name, value, unit, bound in (
        ("max_latency_ms_p50", latency_ms_p50, "ms", "at most"),
        ("max_latency_ms_p99", latency_ms_p99, "ms", "at most"),
        ("min_fps", fps, "frames/s", "at least"),
    ):
        limit: float | None = getattr(limits, name)
        if limit is None:
            continue
        if value is None:
            passed, measured = False, "unknown: too few frames were answered"
        else:
            passed = value <= limit if bound == "at most" else value >= limit
            measured = f"{value:.4g} {unit}"
        yield Check(name, topic, passed, measured, f"{bound} {limit:g} {unit}")


def check_known(topic: str, figures: ComparisonFigures) -> Check:
    """Judge whether an earlier run knows every frame: what is not compared proves nothing."""
    count, total = len(figures.unknown), len(figures.unknown) + len(figures.frames)
    return Check(
        "known_frames",
        topic,
        not count,
        f"{count} of {total} frames are not in the reference",
        "none",
        shortened(list(figures.unknown)),
    )


def check_played(topic: str, figures: ComparisonFigures) -> Check:
    """Judge whether every frame of an earlier run was played: a bag may have lost some."""
    return Check(
        "played_frames",
        topic,
        not figures.absent,
        f"{len(figures.absent)} of {figures.reference_frames} frames of the reference are not in "
        "the bag",
        "none",
        shortened(list(figures.absent)),
    )


def worst_frames(
    frames: Sequence[ComparedFrame],
    badness: Callable[[ComparedFrame], float],
    above: float = 0.0,
) -> tuple[str, ...]:
    """Name the frames whose badness is above a limit, the first few of the worst."""
    bad = sorted((frame for frame in frames if badness(frame) > above), key=badness, reverse=True)
    return shortened([str(frame) for frame in bad])


def shortened(lines: list[str]) -> tuple[str, ...]:
    """Keep the first few of many lines, and say how many there are more."""
    shown = lines[:_FRAMES_NAMED]
    if len(lines) > len(shown):
        shown.append(f"… and {len(lines) - len(shown)} more")
    return tuple(shown)
