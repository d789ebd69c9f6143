"""Frames handed over together: one call where the backend takes them, answered one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends import BackendError
from jetson_detect.core.fallback import FallbackChain, FallbackPolicy
from jetson_detect.core.fallback import chain as chain_module
from jetson_detect.core.fallback import detector_thread as detector_thread_module
from jetson_detect.core.pixels import PixelError
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.selection import Selection

sys.path.insert(0, str(Path(__file__).parent))
from numbered_pictures import SELECTION, Script, choice, picture, read, wait_for

NEVER_S = 1e6
PATIENT = FallbackPolicy(
    deadline_s=0.0, load_timeout_s=10.0, retry_initial_s=NEVER_S, retry_maximum_s=NEVER_S
)


class Chain(FallbackChain):
    """A chain over scripts."""

    def __init__(self, *scripts: Script, policy: FallbackPolicy = PATIENT) -> None:
        by_name = {script.name: script for script in scripts}
        super().__init__(
            [choice(name) for name in by_name],
            (),
            lambda choice: by_name[choice.backend].make(),
            policy,
        )
        self.start()

    def hand_over(self, *numbers: int, selection: Selection = SELECTION) -> None:
        self.submit(*map(picture, numbers), selection=selection)

    def answers(self, count: int) -> list[tuple[int, str]]:
        return [read(self.result()) for _ in range(count)]


@pytest.fixture
def chained() -> Iterator[Callable[..., Chain]]:
    chains: list[Chain] = []

    def start(*scripts: Script, **options: Any) -> Chain:
        chains.append(Chain(*scripts, **options))
        return chains[-1]

    yield start
    for each in chains:
        each.close()


def starts(script: Script) -> list[str]:
    return [event.removeprefix("start ") for event in script.events if "start" in event]


def test_what_is_handed_over_together_is_inferred_together_as_far_as_it_fits(chained):
    script = Script(batch=4)
    chain = chained(script)
    assert chain.max_batch == 4
    chain.hand_over(1, 2, 3)
    chain.hand_over(4)
    chain.hand_over(5, 6, 7, 8, 9, 10)
    assert chain.answers(10) == [(number, "first") for number in range(1, 11)]
    assert starts(script) == ["1 2 3", "4", "5 6 7 8", "9 10"]


def test_a_batch_that_fails_is_answered_by_the_next_one_in_pieces_that_it_takes(chained):
    first, second = Script("first", batch=8), Script("second", depth=1, batch=2)
    chain = chained(first, second)
    chain.hand_over(1, 2, 3)
    assert chain.answers(3) == [(1, "first"), (2, "first"), (3, "first")]

    def fail(number: int) -> None:
        if number == 6:
            raise BackendError("gone")

    first.at_finish = fail
    chain.hand_over(4, 5, 6, 7, 8)
    chain.hand_over(9)
    assert chain.answers(6) == [(number, "second") for number in range(4, 10)]
    # What was handed over before it failed goes along, in its order.
    assert starts(second) == ["4 5", "6 7", "8 9"]
    assert first.closed == 1


def test_the_next_one_may_take_one_at_a_time(chained):
    first, second = Script("first", batch=8), Script("second", batch=1)
    chain = chained(first, second)
    first.at_start = lambda number: (_ for _ in ()).throw(BackendError("gone"))
    chain.hand_over(1, 2, 3)
    assert chain.answers(3) == [(1, "second"), (2, "second"), (3, "second")]
    assert starts(second) == ["1", "2", "3"]
    assert chain.max_batch == 1


def test_frames_for_which_something_else_is_wanted_are_not_inferred_together(chained):
    first, second = Script("first"), Script("second", batch=8)
    chain = chained(first, second)
    first.at_finish = lambda number: (_ for _ in ()).throw(BackendError("gone"))
    chain.hand_over(1, 2)
    chain.hand_over(3, 4, selection=Selection(score_threshold=0.99))
    assert chain.answers(2) == [(1, "second"), (2, "second")]
    assert [len(chain.result()) for _ in range(2)] == [0, 0]
    assert starts(second) == ["1 2", "3 4"]


def test_a_bad_picture_costs_itself_and_no_backend(chained, monkeypatch):
    preprocess = Preprocessor.__call__

    def refuse(self: Preprocessor, pixels: Any, index: int = 0) -> Any:
        if pixels.data[0, 0, 0] == 2:
            raise PixelError("not a picture")
        return preprocess(self, pixels, index)

    monkeypatch.setattr(Preprocessor, "__call__", refuse)
    script = Script(batch=4)
    chain = chained(script)
    chain.hand_over(1, 2, 3)
    chain.hand_over(2)
    assert chain.answers(1) == [(1, "first")]
    with pytest.raises(PixelError, match="not a picture"):
        chain.result()
    assert chain.answers(1) == [(3, "first")]
    with pytest.raises(PixelError, match="not a picture"):
        chain.result()
    assert starts(script) == ["1 3"]
    assert script.closed == 0


class Clock:
    """Stands still until it is set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_batch_that_comes_late_has_missed_one_deadline_and_loses_no_answer(chained, monkeypatch):
    clock = Clock()
    for module in (chain_module, detector_thread_module):
        monkeypatch.setattr(module, "time", clock)
    first, second = Script("first", batch=4), Script("second", batch=4)
    chain = chained(
        first,
        second,
        policy=FallbackPolicy(100.0, 2, 10.0, retry_initial_s=NEVER_S, retry_maximum_s=NEVER_S),
    )

    def dawdle(number: int) -> None:
        if number % 4 == 0:
            clock.now += 101.0

    first.at_finish = dawdle
    chain.hand_over(0, 1, 2, 3)
    assert chain.answers(4) == [(number, "first") for number in range(4)]
    chain.hand_over(5, 6, 7)  # in time: it counts from the start again
    chain.hand_over(8, 9)
    assert chain.answers(5) == [(number, "first") for number in (5, 6, 7, 8, 9)]
    assert first.closed == 0
    chain.hand_over(12, 13, 14)
    assert chain.answers(3) == [(number, "first") for number in (12, 13, 14)]
    wait_for(lambda: first.closed == 1)
    chain.hand_over(15)
    assert chain.answers(1)[0][0] == 15


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    ahead=st.integers(1, 4),
    batches=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    failures=st.lists(st.integers(0, 40), max_size=2),
)
def test_each_frame_is_answered_once_in_order_whatever_fails(sizes, ahead, batches, failures):
    scripts = [
        Script(name, batch=batch) for name, batch in zip(("first", "second", "third"), batches)
    ]

    def fail(number: int) -> None:
        if number in failures:
            failures.remove(number)
            raise BackendError("gone")

    for script in scripts:
        script.at_finish = fail
    with Chain(*scripts) as chain:
        number = 0
        found, waiting = [], []
        for size in sizes:
            chain.hand_over(*range(number, number + size))
            number += size
            waiting.append(size)
            if len(waiting) >= ahead:
                found += chain.answers(waiting.pop(0))
        found += chain.answers(sum(waiting))
    assert [each for each, _ in found] == list(range(number))
