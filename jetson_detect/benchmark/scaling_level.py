"""How the detector node's cost grows with cameras, detections and pixels."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.nodes.task import NodeWork
from jetson_detect.benchmark.picture import SIZES
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import StreamRow
from jetson_detect.benchmark.running_node import RunningNode
from jetson_detect.benchmark.session import Session
from jetson_detect.benchmark.turns import take_turns
from jetson_detect.benchmark.workload import USUAL_WORKLOAD

NAME = "scaling"


@dataclass(frozen=True)
class ScalingLevel:
    """What grows, each while the rest stays at the usual."""

    cameras: tuple[int, ...] = (1, 2, 4, 8)
    detections: tuple[int, ...] = (1, 10, 100, 300)
    sizes: tuple[str, ...] = ("480p", "720p", "1080p", "4k")
    """Of the pictures, keys of :data:`SIZES`."""
    size: str = "720p"
    """Where not the pictures grow."""
    total_rate: float = 40.0
    """Frames a second of all cameras together, where only their number grows."""
    camera_rate: float = 10.0
    """Frames a second of each camera, where all together send more the more there are."""


@dataclass(frozen=True)
class _Step:
    """One point of a curve."""

    amount: float
    """Of what grows."""
    size: str
    cameras: int = 1
    detections: int = USUAL_WORKLOAD.detections


def measure_scaling(level: ScalingLevel, repeats: Repeats, session: Session) -> Section:
    """Measure each curve, its points in turns, one frame of each camera in flight.

    With that, more cameras have more frames on their way at once.  So these are also compared at
    the same number of frames a second, of all cameras together and of each.

    Raises
    ------
    ChildError
        If the node fails.

    """
    curves = {
        "cameras": {f"{n}": _Step(n, level.size, cameras=n) for n in level.cameras},
        "detections": {f"{n}": _Step(n, level.size, detections=n) for n in level.detections},
        "picture": {name: _Step(_pixels(name), name) for name in level.sizes},
    }
    streams: list[StreamRow] = []
    ratios: list[Ratio] = []
    for name, steps in curves.items():
        rates = _Rates(level.total_rate, level.camera_rate) if name == "cameras" else None
        rows = _measure_curve(name, steps, rates, repeats, session)
        streams += rows
        drawn = [row for row in rows if row.case == name]
        ratios += _ratios(name, list(steps.values()), drawn)
        ratios += _frame_ratios([row for row in rows if row.case != name])
    return Section(
        NAME,
        f"the detector node, without inference; {level.size} where the picture does not grow; "
        "a ratio is the cost if it grew in proportion over what it is; with a rate, the CPU time "
        "of a frame of one camera over that of one of several",
        streams=tuple(streams),
        ratios=tuple(ratios),
    )


@dataclass(frozen=True)
class _Rates:
    """Frames a second at which different numbers of cameras are compared."""

    in_all: float
    of_each: float

    def drives(self, cameras: int, frames: int, most: int) -> dict[str, Drive]:
        """Return how so many cameras send, by what is the same for all numbers of them.

        The number of frames is, in all, the same too, or that of each as with the ``most`` cameras.
        """
        each = max(1, frames // most)
        return {
            f"{self.in_all:g} Hz in all": Drive(max(1, frames // cameras), self.in_all / cameras),
            f"{self.of_each:g} Hz each": Drive(each, self.of_each),
        }


def _measure_curve(
    name: str,
    steps: Mapping[str, _Step],
    rates: _Rates | None,
    repeats: Repeats,
    session: Session,
) -> list[StreamRow]:
    with ExitStack() as stack:
        nodes = {
            label: stack.enter_context(
                RunningNode(
                    Contestant.OURS,
                    session,
                    SIZES[step.size],
                    NodeWork(step.cameras, USUAL_WORKLOAD.with_detections(step.detections)),
                )
            )
            for label, step in steps.items()
        }
        for node in nodes.values():
            node.wait_until_ready(repeats.warm_up)
        most = max(step.cameras for step in steps.values())
        drives: dict[str, dict[str, Drive]] = {name: {}}
        for label, step in steps.items():
            drives[name][label] = Drive(max(1, repeats.frames // step.cameras))
            if rates is not None:
                for case, drive in rates.drives(step.cameras, repeats.frames, most).items():
                    drives.setdefault(f"{name}, {case}", {})[label] = drive
        rows = []
        for case, of_case in drives.items():
            rounds = take_turns(
                {label: node.round_of(of_case[label]) for label, node in nodes.items()},
                repeats.rounds,
            )
            rows += [
                StreamRow(case, label, str(of_case[label]), rounds[label], node.rss_mb)
                for label, node in nodes.items()
            ]
        return rows


def _ratios(name: str, steps: list[_Step], rows: list[StreamRow]) -> list[Ratio]:
    """Compare each point with what the first one lets expect, if cost is in proportion."""
    per_second = [
        [each.cpu_ms * step.cameras for each in row.rounds] for step, row in zip(steps, rows)
    ]
    return [
        Ratio.of(
            f"{NAME} {name}: {rows[0].way} in proportion / {row.way}",
            [cost * step.amount / steps[0].amount for cost in per_second[0]],
            costs,
        )
        for step, row, costs in zip(steps[1:], rows[1:], per_second[1:])
    ]


def _frame_ratios(rows: list[StreamRow]) -> list[Ratio]:
    """Compare what a frame costs with the first of each case."""
    first = {row.case: row for row in reversed(rows)}
    return [
        Ratio.of(
            f"{NAME} {row.case}, CPU of a frame: {first[row.case].way} / {row.way}",
            [each.cpu_ms for each in first[row.case].rounds],
            [each.cpu_ms for each in row.rounds],
        )
        for row in rows
        if row is not first[row.case]
    ]


def _pixels(size: str) -> float:
    width, height = SIZES[size]
    return float(width * height)
