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
        rows = _measure_curve(name, steps, repeats, session)
        streams += rows
        ratios += _ratios(name, list(steps.values()), rows)
    return Section(
        NAME,
        f"the detector node, without inference; {level.size} where the picture does not grow; "
        "a ratio is the cost if it grew in proportion over what it is",
        streams=tuple(streams),
        ratios=tuple(ratios),
    )


def _measure_curve(
    name: str, steps: Mapping[str, _Step], repeats: Repeats, session: Session
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
        drives = {
            label: Drive(max(1, repeats.frames // step.cameras)) for label, step in steps.items()
        }
        rounds = take_turns(
            {label: node.round_of(drives[label]) for label, node in nodes.items()}, repeats.rounds
        )
        return [
            StreamRow(name, label, str(drives[label]), rounds[label], node.rss_mb)
            for label, node in nodes.items()
        ]


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


def _pixels(size: str) -> float:
    width, height = SIZES[size]
    return float(width * height)
