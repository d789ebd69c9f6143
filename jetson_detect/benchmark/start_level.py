"""From the start of a process to its first answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.nodes.task import USUAL_WORK, NodeWork
from jetson_detect.benchmark.picture import SIZES
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import CostRow
from jetson_detect.benchmark.running_node import RunningNode
from jetson_detect.benchmark.session import Session
from jetson_detect.benchmark.turns import take_turns

NAME = "start"
_HEAD_START_S = 1.0
"""The cameras are there before the node, as on a robot whose detector is started last."""
_PERIOD_S = 0.01
"""Between two frames; the first one that is answered ends the start."""


@dataclass(frozen=True)
class StartLevel:
    """What is started."""

    model: str = "demo"
    """A folder with a model.yaml, or the name of a model that comes with the package."""
    backends: tuple[str, ...] = ("tflite",)
    size: str = "480p"
    """Of the pictures, a key of :data:`SIZES`."""
    rounds: int = 5


def measure_starts(level: StartLevel, session: Session) -> Section:
    """Start an empty node, then the detector with each backend, in turns.

    Raises
    ------
    ChildError
        If one of them fails.

    """

    def start(contestant: Contestant, work: NodeWork) -> float:
        size = SIZES[level.size]
        with RunningNode(contestant, session, size, work, _HEAD_START_S) as node:
            node.wait_until_answered(_PERIOD_S)
            return time.perf_counter() - node.started

    empty = "an empty rclpy node"
    measures = {empty: partial(start, Contestant.EMPTY, USUAL_WORK)}
    for backend in level.backends:
        work = NodeWork(model=level.model, backend=backend)
        measures[f"{level.model} on {backend}"] = partial(start, Contestant.OURS, work)
    rounds = take_turns(measures, level.rounds)
    more = {
        f"{way}, more than {empty}": tuple(b - a for a, b in zip(rounds[empty], seconds))
        for way, seconds in rounds.items()
        if way != empty
    }
    return Section(
        NAME,
        f"from the start of the process to its first answer, {level.size} frames",
        costs=tuple(
            CostRow("first answer", way, "s", seconds)
            for way, seconds in {**rounds, **more}.items()
        ),
        ratios=tuple(
            Ratio.of(f"{NAME}: {empty} / {way}", rounds[empty], seconds)
            for way, seconds in rounds.items()
            if way != empty
        ),
    )
