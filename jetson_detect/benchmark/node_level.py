"""The whole node over DDS beside others that do the same, with a constant instead of inference."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.nodes.task import NodeWork
from jetson_detect.benchmark.picture import SIZES, size_text
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import StreamRow
from jetson_detect.benchmark.running_node import RunningNode
from jetson_detect.benchmark.session import Session
from jetson_detect.benchmark.turns import take_turns
from jetson_detect.benchmark.workload import USUAL_WORKLOAD, Workload

NAME = "node"


@dataclass(frozen=True)
class NodeLevel:
    """What is compared."""

    contestants: tuple[Contestant, ...] = (
        Contestant.TUTORIAL,
        Contestant.PLAIN,
        Contestant.OURS,
        Contestant.INLINE,
        Contestant.FLOOR,
    )
    sizes: tuple[str, ...] = ("480p", "720p", "1080p")
    """Of the pictures, keys of :data:`SIZES`."""
    rates: tuple[float, ...] = ()
    """Frames a second, beside the closed loop."""
    workload: Workload = USUAL_WORKLOAD


def measure_nodes(level: NodeLevel, repeats: Repeats, session: Session) -> Section:
    """Measure each size with all contestants in turns.

    Raises
    ------
    ChildError
        If a contestant fails.

    """
    drives = [Drive(repeats.frames), *(Drive(repeats.frames, rate) for rate in level.rates)]
    streams: list[StreamRow] = []
    ratios: list[Ratio] = []
    for size in level.sizes:
        rows = _measure_size(level, SIZES[size], drives, repeats, session)
        streams += rows
        ratios += _ratios([row for row in rows if row.drive == str(drives[0])])
    return Section(
        NAME,
        f"camera to detections over DDS, two processes, {level.workload.candidates} candidates, "
        f"{level.workload.detections} detections, without inference",
        streams=tuple(streams),
        ratios=tuple(ratios),
    )


def _measure_size(
    level: NodeLevel,
    size: tuple[int, int],
    drives: Sequence[Drive],
    repeats: Repeats,
    session: Session,
) -> list[StreamRow]:
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(RunningNode(each, session, size, NodeWork(workload=level.workload)))
            for each in level.contestants
        ]
        for node in nodes:
            node.wait_until_ready(repeats.warm_up)
        rows = []
        for drive in drives:
            rounds = take_turns(
                {node.contestant.value: node.round_of(drive) for node in nodes}, repeats.rounds
            )
            rows += [
                StreamRow(
                    size_text(size),
                    node.contestant.value,
                    str(drive),
                    rounds[node.contestant.value],
                    node.rss_mb,
                )
                for node in nodes
            ]
        return rows


def _ratios(rows: Sequence[StreamRow]) -> list[Ratio]:
    """Compare each contestant's CPU time with ours."""
    ours = next((row for row in rows if row.way == Contestant.OURS.value), None)
    if ours is None:
        return []
    return [
        Ratio.of(
            f"{NAME} {row.case} CPU: {row.way} / {ours.way}",
            [each.cpu_ms for each in row.rounds],
            [each.cpu_ms for each in ours.rounds],
        )
        for row in rows
        if row is not ours
    ]
