"""Contestants that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import TypeVar

from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.stream_round import StreamRound

_MOMENT_S = 0.002

T = TypeVar("T")


def take_turns(measures: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, tuple[T, ...]]:
    """Measure A, B, C, A, B, C and so on.

    Parameters
    ----------
    measures:
        What measures one round of each contestant.
    rounds:
        How often.

    Returns
    -------
    The results of each contestant, a round each.

    """
    results: dict[str, list[T]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            results[name].append(measure())
    return {name: tuple(each) for name, each in results.items()}


def cpu_costs_us(
    acts: Mapping[str, Callable[[], object]], repeats: Repeats, burst: int = 0
) -> dict[str, tuple[float, ...]]:
    """Measure the CPU time of this process that an act takes, all its threads together.

    Parameters
    ----------
    acts:
        What is done, by its name.
    repeats:
        How often.
    burst:
        After so many calls others get a moment to take what they made; 0 for never.

    Returns
    -------
    Of each act and round: µs of a call, the median.

    """

    def call(act: Callable[[], object], times: int) -> float:
        costs = []
        for number in range(1, times + 1):
            started_ns = time.process_time_ns()
            act()
            costs.append(time.process_time_ns() - started_ns)
            if burst and number % burst == 0:
                time.sleep(_MOMENT_S)
        return median(costs) / 1e3

    for act in acts.values():
        call(act, max(1, repeats.warm_up))
    measures = {name: partial(call, act, repeats.frames) for name, act in acts.items()}
    return take_turns(measures, repeats.rounds)


def stream_calls(act: Callable[[], object], calls: int) -> StreamRound:
    """Call something again and again, as a stream of frames through it."""
    latencies = []
    cpu = time.process_time()
    started = before = time.perf_counter()
    for _ in range(calls):
        act()
        now = time.perf_counter()
        latencies.append((now - before) * 1e3)
        before = now
    return StreamRound(calls, calls, before - started, time.process_time() - cpu, tuple(latencies))
