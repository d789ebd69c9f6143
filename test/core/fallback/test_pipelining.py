"""Several frames handed over before the first is answered: each is answered once, in order."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jetson_detect.core.backends import BackendError
from jetson_detect.core.fallback import FallbackChain, FallbackPolicy, Report
from jetson_detect.core.fallback import chain as chain_module
from jetson_detect.core.fallback import detector_thread as detector_thread_module
from jetson_detect.core.pixels import PixelError

sys.path.insert(0, str(Path(__file__).parent))
from numbered_pictures import (
    NUMBERS,
    SELECTION,
    WIDTHS,
    Script,
    choice,
    no_obstacle,
    picture,
    read,
    wait_for,
)

NEVER_S = 1e6
PATIENT = FallbackPolicy(
    deadline_s=0.0, load_timeout_s=10.0, retry_initial_s=NEVER_S, retry_maximum_s=NEVER_S
)
"""Nothing is given up for its slowness, and nothing comes back by itself."""
QUICK = FallbackPolicy(
    deadline_s=0.0, load_timeout_s=10.0, retry_initial_s=0.02, retry_maximum_s=0.02
)
STRICT = FallbackPolicy(
    deadline_s=100.0,
    missed_deadlines=1,
    load_timeout_s=10.0,
    retry_initial_s=NEVER_S,
    retry_maximum_s=NEVER_S,
)
"""For a clock that is set by the test."""


class Bench:
    """A chain over scripts."""

    def __init__(self, scripts: tuple[Script, ...], policy: FallbackPolicy) -> None:
        self.on_report: Callable[[Report], None] = lambda report: None
        self.scripts = {script.name: script for script in scripts}
        self.chain = FallbackChain(
            [choice(name) for name in self.scripts],
            (),
            lambda choice: self.scripts[choice.backend].make(),
            policy,
            lambda report: self.on_report(report),
        )

    def submit(self, *numbers: int) -> None:
        for number in numbers:
            self.chain.submit(picture(number), selection=SELECTION)

    def answers(self, count: int) -> list[tuple[int, str]]:
        return [read(self.chain.result()) for _ in range(count)]

    @property
    def running(self) -> str | None:
        description = self.chain.status.running
        return description.backend if description is not None else None


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(*scripts: Script, policy: FallbackPolicy = PATIENT) -> Bench:
        benches.append(Bench(scripts, policy))
        benches[-1].chain.start()
        return benches[-1]

    yield start
    for each in benches:
        each.chain.close()


class Clock:
    """Stands still until it is set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (chain_module, detector_thread_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def failing(error: Exception, *numbers: int) -> Callable[[int], None]:
    """Raise for these pictures, or for all if none is named."""

    def check(number: int) -> None:
        if not numbers or number in numbers:
            raise error

    return check


def outcome(chain: FallbackChain) -> tuple[int, str] | str:
    """Take an answer: which picture it is of and whose, or why there is none."""
    try:
        return read(chain.result())
    except (PixelError, BackendError) as error:
        return str(error)


def test_one_frame_more_is_wanted_than_the_running_backend_holds_if_it_holds_several(bench):
    first, second = Script("first", depth=2), Script("second", depth=3)
    assert Bench((first, second), PATIENT).chain.depth == 1  # nothing runs yet
    running = bench(first, second)
    assert running.chain.depth == 3
    first.at_start = failing(BackendError("the GPU is gone"))
    running.submit(1)
    assert running.answers(1) == [(1, "second")]
    assert running.chain.depth == 4
    second.at_start = failing(BackendError("the GPU is gone"))
    running.submit(2)
    with pytest.raises(BackendError, match="no backend works"):
        running.chain.result()
    assert running.chain.depth == 1


def test_more_frames_than_the_depth_wait_and_are_answered_too(bench):
    first = Script("first", depth=2)
    running = bench(first)
    running.submit(*range(6))
    assert running.answers(6) == [(number, "first") for number in range(6)]
    assert first.events.index("finish 0") < first.events.index("start 2")


@pytest.mark.parametrize("step", ["at_start", "at_finish"])
def test_what_was_outstanding_when_a_backend_fails_is_answered_once_by_the_next(bench, step):
    first, second = Script("first"), Script("second")
    running = bench(first, second)
    setattr(first, step, failing(BackendError("the GPU is gone")))
    running.submit(1, 2)
    assert running.answers(2) == [(1, "second"), (2, "second")]
    assert [event for event in second.events if event.startswith("start")] == ["start 1", "start 2"]
    assert running.chain.status.takeovers == 1


def test_the_next_backend_is_loaded_by_who_waits_for_a_frame_however_long_a_report_takes(bench):
    first, second = Script("first"), Script("second")
    running = bench(first, second)
    first.at_finish = failing(BackendError("the GPU is gone"))
    running.on_report = lambda report: time.sleep(0.05)  # others could be quicker meanwhile
    second.at_load = lambda: time.sleep(0.1)
    running.submit(1, 2)
    assert running.answers(2) == [(1, "second"), (2, "second")]
    assert (first.opened, second.opened) == (1, 1)


def test_what_a_backend_answered_before_it_failed_is_not_answered_again(bench):
    first, second = Script("first"), Script("second")
    running = bench(first, second)
    first.at_finish = failing(BackendError("the GPU is gone"), 2)
    running.submit(1, 2, 3)
    assert running.answers(3) == [(1, "first"), (2, "second"), (3, "second")]
    assert "start 1" not in second.events


def test_what_was_outstanding_when_a_backend_hangs_is_answered_by_the_next_alone(bench):
    first, second = Script("first"), Script("second")
    policy = FallbackPolicy(
        deadline_s=0.05, missed_deadlines=2, retry_initial_s=NEVER_S, retry_maximum_s=NEVER_S
    )
    healthy = threading.Event()
    first.at_finish = lambda number: healthy.wait() and None
    running = bench(first, second, policy=policy)
    # On a busy machine the second one may take its time.
    second.at_load = lambda: setattr(running.chain, "policy", PATIENT)
    running.submit(1, 2, 3)
    wait_for(lambda: "finish 1" in first.events)
    begun = list(first.events)
    assert running.answers(3) == [(1, "second"), (2, "second"), (3, "second")]
    healthy.set()
    wait_for(lambda: first.closed == 1)
    assert first.events == begun  # nothing more, which nobody would take


def test_the_only_backend_begins_all_that_was_outstanding_anew(bench):
    first = Script("first")
    running = bench(first)
    failures = iter([BackendError("a hiccup")])

    def fail_once(number: int) -> None:
        for failure in failures:
            raise failure

    first.at_finish = fail_once
    running.submit(1, 2)
    assert running.answers(2) == [(1, "first"), (2, "first")]
    assert first.opened == 2


@pytest.mark.parametrize("late", [0, 1, 3], ids="{} after".format)
def test_a_takeover_with_frames_outstanding_loses_and_reorders_none(bench, late):
    running = bench(Script("second"))
    running.scripts["first"] = Script("first")
    running.submit(1, 2)
    running.chain.set_choices([choice("first"), choice("second")])
    wait_for(lambda: running.running == "first")
    expected = list(range(1, 3 + late))
    running.submit(*expected[2:])
    assert running.answers(len(expected)) == [(number, "first") for number in expected]
    assert running.chain.status.takeovers == 1


def test_a_backend_that_comes_back_answers_what_is_outstanding(bench):
    first, second = Script("first"), Script("second")
    running = bench(first, second, policy=QUICK)
    mended = threading.Event()
    first.at_finish = failing(BackendError("once"), 1)
    running.submit(1)
    first.at_load = lambda: mended.wait() and None
    assert running.answers(1) == [(1, "second")]
    running.submit(2, 3)
    mended.set()
    wait_for(lambda: running.running == "first")
    running.submit(4)
    assert running.answers(3) == [(2, "first"), (3, "first"), (4, "first")]


def test_a_picture_at_fault_leaves_the_one_behind_it(bench):
    first, second = Script("first"), Script("second")
    running = bench(first, second)
    first.at_start = failing(PixelError("not a picture"), 1)
    running.submit(1, 2)
    with pytest.raises(PixelError, match="not a picture"):
        running.chain.result()
    assert running.answers(1) == [(2, "first")]
    assert (first.opened, second.opened) == (1, 0)
    with pytest.raises(RuntimeError, match="no picture was submitted"):
        running.chain.result()


def test_frames_that_nothing_can_answer_fail_one_by_one_and_the_rest_is_answered(bench):
    first = Script("first")
    running = bench(first, policy=QUICK)
    first.at_finish = failing(BackendError("no power"), 1)
    running.submit(1, 2, 3)
    with pytest.raises(BackendError, match=r"no backend works: first .*no power"):
        running.chain.result()
    wait_for(lambda: running.running == "first")
    running.submit(4)
    assert running.answers(3) == [(2, "first"), (3, "first"), (4, "first")]


def test_a_frame_is_not_late_for_having_waited_behind_another(bench, clock):
    first = Script("first")
    first.at_finish = lambda number: clock.advance(60.0)
    running = bench(first, Script("second"), policy=STRICT)
    running.submit(1, 2, 3)
    assert running.answers(3) == [(number, "first") for number in (1, 2, 3)]
    assert (running.running, first.opened) == ("first", 1)


def test_a_frame_is_not_late_when_its_answer_is_asked_for_late(bench, clock):
    first = Script("first", depth=1)
    running = bench(first, Script("second"), policy=STRICT)
    running.submit(1, 2)
    wait_for(lambda: "start 2" in first.events)  # the first has its answer
    clock.advance(1000.0)
    assert running.answers(1) == [(1, "first")]
    assert (running.running, first.opened) == ("first", 1)


def test_a_frame_is_not_late_for_a_pause_before_it(bench, clock):
    first = Script("first")
    running = bench(first, Script("second"), policy=STRICT)
    for number in (1, 2):
        clock.advance(1000.0)
        running.submit(number)
        assert running.answers(1) == [(number, "first")]
    assert (running.running, first.opened) == ("first", 1)


def test_a_frame_that_was_begun_anew_is_not_late_for_the_time_before(bench, clock):
    first, second = Script("first"), Script("second")
    running = bench(first, second, policy=STRICT)

    def fail_late(number: int) -> None:
        if number == 1:  # the thread that is given up may still try the next
            clock.advance(1000.0)
        raise BackendError("the GPU is gone")

    first.at_finish = fail_late
    running.submit(1, 2)
    assert running.answers(2) == [(1, "second"), (2, "second")]
    assert (running.running, second.opened) == ("second", 1)


def test_a_late_frame_is_answered_and_those_behind_it_go_elsewhere_in_order(bench, clock):
    first = Script("first")
    # The thread that is given up may still try the next.
    first.at_finish = lambda number: clock.advance(100.1 if number == 1 else 0.0)
    running = bench(first, Script("second"), policy=STRICT)
    running.submit(1, 2)
    assert running.answers(1) == [(1, "first")]
    assert running.chain.status.refusals[0].reason == "missed 1 deadlines of 100 s in a row"
    wait_for(lambda: running.running == "second")  # also before the next frame
    running.submit(3)
    assert running.answers(2) == [(2, "second"), (3, "second")]


def test_a_result_without_a_frame_is_a_mistake(bench):
    first = Script("first")
    running = bench(first)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no picture was submitted that has no answer yet"):
            running.chain.result()
        running.submit(1)
        assert running.answers(1) == [(1, "first")]
    first.at_finish = failing(BackendError("no power"))
    running.submit(1)
    with pytest.raises(BackendError):
        running.chain.result()
    with pytest.raises(RuntimeError):
        running.chain.result()


def test_closed_with_frames_outstanding_it_refuses_each_and_ends_its_threads(bench):
    first = Script("first")
    hold = threading.Event()
    first.at_finish = lambda number: hold.wait() and None
    running = bench(first)
    running.submit(1, 2)
    wait_for(lambda: "finish 1" in first.events)
    threading.Timer(0.05, hold.set).start()
    running.chain.close()
    assert "finish 2" not in first.events
    assert first.closed == 1
    for _ in range(2):
        with pytest.raises(BackendError, match="the chain is closed"):
            running.chain.result()
    with pytest.raises(RuntimeError):
        running.chain.result()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_fails_every_frame_is_answered_once_and_in_order(bench, seed):
    """Backends fail at random, come back after moments, and are exchanged meanwhile."""
    chance = random.Random(seed)
    lock = threading.Lock()  # one source of chance for all threads

    def happens(probability: float) -> bool:
        with lock:
            return chance.random() < probability

    def start(number: int) -> None:
        if number % 17 == 0:
            raise PixelError(f"picture {number}")
        if happens(0.01):
            raise BackendError("at the start")

    def finish(number: int) -> None:
        if happens(0.01):
            raise BackendError("at the end")

    scripts = [Script(name, depth) for depth, name in enumerate(WIDTHS, start=1)]
    policy = FallbackPolicy(deadline_s=0.0, retry_initial_s=0.002, retry_maximum_s=0.002)
    running = bench(*scripts, policy=policy)
    for script in scripts:
        script.at_start, script.at_finish = start, finish
    frames = 1500
    submitted = 0
    outcomes: list[tuple[int, str] | str] = []
    while len(outcomes) < frames:
        outstanding = submitted - len(outcomes)
        if submitted < frames and outstanding < 5 and happens(0.6):
            running.submit(submitted % NUMBERS)
            submitted += 1
            if happens(0.05):
                with lock:
                    names = chance.sample(list(WIDTHS), len(WIDTHS))
                running.chain.set_choices([choice(name) for name in names])
        elif outstanding:
            outcomes.append(outcome(running.chain))
    with pytest.raises(RuntimeError, match="no picture was submitted"):
        running.chain.result()
    answered: dict[str, int] = dict.fromkeys(WIDTHS, 0)
    for index, each in enumerate(outcomes):
        number = index % NUMBERS
        if isinstance(each, tuple):
            assert (each[0], number % 17 > 0) == (number, True), index
            answered[each[1]] += 1
        else:
            at_fault = f"picture {number}" if number % 17 == 0 else None
            assert each == at_fault or each.startswith("no backend works"), index
    assert min(answered.values()) > 0
    assert sum(answered.values()) > frames / 2
    for script in scripts:
        script.at_start = script.at_finish = no_obstacle
    running.chain.close()
    wait_for(lambda: all(script.closed == script.opened for script in scripts))
