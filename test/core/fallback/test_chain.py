"""Scripted backends behind real detectors: which one answers shows in the width of its box."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends import (
    BackendDescription,
    BackendError,
    BackendUnavailableError,
    TensorInfo,
)
from jetson_detect.core.backends.choice import BackendChoice, MissingChoice
from jetson_detect.core.closing import Closing
from jetson_detect.core.detector import Detector
from jetson_detect.core.fallback import FallbackChain, FallbackPolicy, Report, Severity
from jetson_detect.core.fallback import chain as chain_module
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
SELECTION = Selection(score_threshold=0.3)
PICTURE = Pixels.from_array(np.zeros((160, 160, 3), np.uint8))
FLOAT32 = np.dtype(np.float32)
QUICK = FallbackPolicy(
    deadline_s=0.2,
    missed_deadlines=2,
    load_timeout_s=0.5,
    retry_initial_s=0.05,
    retry_maximum_s=0.2,
)
PATIENT = replace(QUICK, retry_initial_s=60.0, retry_maximum_s=60.0)
"""Nothing comes back by itself."""
WIDTHS = {"first": 4, "second": 8, "third": 12}
"""Of the box that each backend finds, in cells of four pixels."""


class Script:
    """What the backends are to do, and what they did."""

    def __init__(self) -> None:
        self.at_load: dict[str, Exception | threading.Event] = {}
        self.at_run: dict[str, Callable[[], Any]] = {}
        """Called before each run; what it returns replaces the outputs unless it is None."""
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.threads: dict[str, set[int]] = {}

    def make(self, choice: BackendChoice) -> Detector:
        self.opened.append(choice.backend)
        obstacle = self.at_load.get(choice.backend)
        if isinstance(obstacle, threading.Event):
            obstacle.wait()
        elif obstacle is not None:
            raise obstacle
        return Detector(MODEL, ScriptedBackend(choice, self))


class ScriptedBackend(Closing):
    input_arrays: Mapping[str, np.ndarray] = {}

    def __init__(self, choice: BackendChoice, script: Script) -> None:
        self.name, self.script = choice.backend, script
        self.outputs = {
            "heatmap": np.zeros((1, 40, 40, 6), np.float32),
            "offset": np.zeros((1, 40, 40, 2), np.float32),
            "size": np.zeros((1, 40, 40, 2), np.float32),
        }
        self.outputs["heatmap"][0, 20, 20, 0] = 0.9
        self.outputs["size"][0, 20, 20] = np.log([WIDTHS[self.name], 2])
        self.description = BackendDescription(
            self.name,
            "script 1.0",
            "CPU",
            choice.file,
            (TensorInfo("image", (1, 160, 160, 3), FLOAT32),),
            tuple(TensorInfo(name, each.shape, FLOAT32) for name, each in self.outputs.items()),
        )
        script.threads.setdefault(self.name, set()).add(threading.get_ident())

    def run(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.script.threads[self.name].add(threading.get_ident())
        replaced = self.script.at_run.get(self.name, lambda: None)()
        return self.outputs if replaced is None else replaced

    def close(self) -> None:
        self.script.threads[self.name].add(threading.get_ident())
        self.script.closed.append(self.name)


def choice(name: str, expected: bool = True) -> BackendChoice:
    return BackendChoice(name, ModelFile(Format.ONNX, Path(f"{name}.onnx")), expected)


class Bench:
    """A chain over a script, and everything that it reports."""

    def __init__(self, script: Script, policy: FallbackPolicy, names: tuple[str, ...]) -> None:
        self.script = script
        self.reports: list[Report] = []
        self.chain = FallbackChain(
            [choice(name) for name in names], (), script.make, policy, self.reports.append
        )

    def answer(self) -> str:
        """Which backend answers a frame."""
        found = self.chain.detect(PICTURE, SELECTION)
        assert len(found) == 1
        width = round(float(found.boxes[0, 2] - found.boxes[0, 0]) / 4)
        return next(name for name, each in WIDTHS.items() if each == width)

    def answers_until(self, name: str, timeout_s: float = 5.0) -> list[str]:
        """Answer frames until one backend does it, and return who answered all of them."""
        end = time.monotonic() + timeout_s
        answers = [self.answer()]
        while answers[-1] != name:
            assert time.monotonic() < end, f"{name} never answered, but {set(answers)}"
            time.sleep(0.005)
            answers.append(self.answer())
        return answers

    @property
    def running(self) -> str | None:
        description = self.chain.status.running
        return description.backend if description is not None else None

    @property
    def log(self) -> list[str]:
        return [report.text for report in self.reports if report.text]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def bench(script: Script) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(*names: str, policy: FallbackPolicy = QUICK) -> Bench:
        benches.append(Bench(script, policy, names))
        benches[-1].chain.start()
        return benches[-1]

    yield start
    for each in script.at_load.values():
        if isinstance(each, threading.Event):
            each.set()
    for each in benches:
        each.chain.close()


def raising(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def wait_for(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_the_first_backend_that_loads_runs_and_the_others_are_not_opened(bench, script):
    running = bench("first", "second")
    assert running.answer() == "first"
    assert script.opened == ["first"]
    status = running.chain.status
    assert (status.why, status.refusals, status.degraded) == ("it is the first choice", (), False)


def test_a_backend_that_does_not_load_is_passed_over_and_its_reason_kept(bench, script):
    script.at_load["first"] = BackendError("first.onnx: corrupt; build it again")
    running = bench("first", "second", policy=PATIENT)
    assert running.answer() == "second"
    status = running.chain.status
    assert status.degraded
    assert status.why == "the better ones were refused"
    (refusal,) = status.refusals
    assert str(refusal) == "first (first.onnx): first.onnx: corrupt; build it again"
    assert refusal.retry_in_s == pytest.approx(60.0, abs=1.0)
    assert running.log == []  # whoever starts the chain tells all of it at once


def test_a_backend_that_hangs_while_loading_is_passed_over(bench, script):
    script.at_load["first"] = threading.Event()
    running = bench("first", "second", policy=PATIENT)
    assert running.answer() == "second"
    assert running.chain.status.refusals[0].reason == "not ready after 0.5 s"


def test_if_no_backend_loads_the_error_has_the_reason_of_each(script):
    script.at_load = {"first": BackendError("no plan"), "second": RuntimeError("odd")}
    chain = Bench(script, PATIENT, ("first", "second")).chain
    with pytest.raises(BackendError) as caught:
        chain.start()
    assert "first (first.onnx): no plan" in str(caught.value)
    assert "second (second.onnx): RuntimeError('odd')" in str(caught.value)
    assert script.opened == ["first", "second"]  # each once
    chain.close()


def test_a_backend_that_raises_is_closed_and_the_next_answers_the_same_frame(bench, script):
    running = bench("first", "second", policy=PATIENT)
    assert running.answer() == "first"
    script.at_run["first"] = raising(BackendError("the GPU is gone"))
    assert running.answer() == "second"
    wait_for(lambda: script.closed == ["first"])
    assert running.chain.status.refusals[0].reason == "the GPU is gone"
    assert running.chain.status.takeovers == 1
    assert running.log == [
        "first (first.onnx) failed: the GPU is gone",
        "second (second.onnx) takes over",
    ]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_make_the_next_backend_answer(bench, script, number):
    running = bench("first", "second", policy=PATIENT)
    outputs = {
        "heatmap": np.zeros((1, 40, 40, 6), np.float32),
        "offset": np.zeros((1, 40, 40, 2), np.float32),
        "size": np.zeros((1, 40, 40, 2), np.float32),
    }
    outputs["size"][0, 3, 4, 1] = number
    script.at_run["first"] = lambda: outputs
    assert running.answer() == "second"
    reason = running.chain.status.refusals[0].reason
    assert reason == "output 'size' has 1 of 3200 numbers that are not finite"


def test_an_output_of_another_shape_makes_the_next_backend_answer(bench, script):
    running = bench("first", "second", policy=PATIENT)
    script.at_run["first"] = lambda: {
        "heatmap": np.zeros((1, 20, 20, 6), np.float32),
        "offset": np.zeros((1, 20, 20, 2), np.float32),
        "size": np.zeros((1, 20, 20, 2), np.float32),
    }
    assert running.answer() == "second"
    reason = running.chain.status.refusals[0].reason
    assert reason == ("output 'heatmap' has shape (1, 20, 20, 6), not (1, 40, 40, 6) as described")


def test_a_backend_that_hangs_is_left_behind_and_closes_itself_when_it_comes_back(bench, script):
    running = bench("first", "second", policy=PATIENT)
    healthy = threading.Event()
    script.at_run["first"] = healthy.wait
    started = time.monotonic()
    assert running.answer() == "second"
    assert 0.4 <= time.monotonic() - started < 1.0  # two deadlines of 0.2 s
    assert script.closed == []
    assert running.chain.status.refusals[0].reason == "missed 2 deadlines of 0.2 s in a row"
    healthy.set()
    wait_for(lambda: script.closed == ["first"])
    assert running.answer() == "second"


def test_a_slow_backend_still_answers_but_is_replaced_after_some_missed_deadlines(bench, script):
    running = bench("first", "second", policy=PATIENT)
    script.at_run["first"] = lambda: time.sleep(0.21)
    answers = [running.answer() for _ in range(3)]
    # Whether the second late one is still waited for is a matter of milliseconds.
    assert (answers[0], answers[2]) == ("first", "second")
    assert running.chain.status.refusals[0].reason == "missed 2 deadlines of 0.2 s in a row"


def test_a_frame_in_time_between_slow_ones_forgives_them(bench, script):
    running = bench("first", "second", policy=PATIENT)
    for _ in range(3):
        script.at_run["first"] = lambda: time.sleep(0.25)
        assert running.answer() == "first"
        del script.at_run["first"]
        assert running.answer() == "first"


def test_a_standstill_of_all_of_python_is_not_taken_for_a_backend_that_hangs(bench, script):
    running = bench("first", "second", policy=PATIENT)
    # Called through PyDLL a C function keeps the interpreter's lock, as an import may.
    script.at_run["first"] = lambda: ctypes.PyDLL(None).usleep(600_000) or None
    assert running.answer() == "first"


def test_without_a_deadline_a_slow_backend_may_take_its_time(bench, script):
    running = bench("first", "second", policy=replace(PATIENT, deadline_s=0.0))
    script.at_run["first"] = lambda: time.sleep(0.6)
    assert running.answer() == "first"


def test_a_failed_backend_comes_back_when_it_is_healthy_again(bench, script):
    running = bench("first", "second")
    script.at_run["first"] = raising(BackendError("the GPU is gone"))
    assert running.answer() == "second"
    script.at_load["first"] = BackendError("still gone")
    wait_for(lambda: script.opened.count("first") >= 3)  # tried again, in vain
    assert running.answer() == "second"
    del script.at_load["first"], script.at_run["first"]
    answers = running.answers_until("first")
    assert set(answers[:-1]) <= {"second"}
    assert running.chain.status.refusals == ()
    assert not running.chain.status.degraded
    wait_for(lambda: "second" in script.closed)
    assert running.log.count("first (first.onnx) is refused: still gone") == 1
    assert running.log[-1] == "first (first.onnx) takes over, second (second.onnx) is closed"


def test_it_comes_back_also_while_no_frame_arrives(bench, script):
    running = bench("first", "second")
    script.at_run["first"] = raising(BackendError("once"))
    assert running.answer() == "second"
    del script.at_run["first"]
    wait_for(lambda: running.running == "first")


def test_retries_come_ever_more_rarely():
    policy = FallbackPolicy(retry_initial_s=1.0, retry_maximum_s=60.0)
    delays = [policy.retry_delay(failures) for failures in (1, 2, 3, 4, 7, 8, 5000)]
    assert delays == [1.0, 2.0, 4.0, 8.0, 60.0, 60.0, 60.0]


def test_what_can_never_work_is_not_tried_again(bench, script):
    script.at_load["first"] = BackendUnavailableError("tensorrt is not installed")
    running = bench("first", "second")
    time.sleep(0.3)  # several times the delay of a retry
    assert script.opened == ["first", "second"]
    (refusal,) = running.chain.status.refusals
    assert refusal.final
    assert refusal.retry_in_s is None


def test_the_only_backend_is_opened_again_at_once_after_one_failure(bench, script):
    running = bench("first", policy=PATIENT)
    failures = iter([BackendError("a hiccup")])

    def fail_once() -> None:
        for failure in failures:
            raise failure

    script.at_run["first"] = fail_once
    assert running.answer() == "first"
    assert script.opened == ["first", "first"]


def test_without_any_backend_a_frame_fails_and_later_ones_are_answered_again(bench, script):
    running = bench("first", "second")
    script.at_run["first"] = script.at_run["second"] = raising(BackendError("no power"))
    with pytest.raises(BackendError, match=r"works: first .*no power; second .*no power"):
        running.answer()
    status = running.chain.status
    assert (status.running, status.why) == (None, "all backends have failed")
    script.at_run.clear()
    wait_for(lambda: running.running == "first")
    assert running.answer() == "first"


def test_a_picture_that_is_at_fault_costs_no_backend(bench, script):
    running = bench("first", "second", policy=PATIENT)
    script.at_run["first"] = raising(PixelError("not a picture"))
    with pytest.raises(PixelError):
        running.answer()
    script.at_run.clear()
    assert running.answer() == "first"
    assert script.opened == ["first"]


def test_a_new_list_is_taken_over_between_two_frames_without_a_gap(bench, script):
    running = bench("first", "second", policy=PATIENT)
    loading = threading.Event()
    script.at_load["third"] = loading
    running.chain.set_choices([choice("third"), choice("first")])
    assert [running.answer() for _ in range(5)] == ["first"] * 5  # while it loads
    loading.set()
    answers = running.answers_until("third")
    assert set(answers[:-1]) <= {"first"}
    wait_for(lambda: script.closed == ["first"])


def test_it_is_unsettled_while_a_backend_is_loaded_and_for_a_moment_afterwards(
    bench, script, monkeypatch
):
    monkeypatch.setattr(chain_module, "_SETTLE_S", 0.1)
    chain = bench("first", policy=PATIENT).chain
    wait_for(lambda: chain.is_settled)
    loading = script.at_load["second"] = threading.Event()
    chain.set_choices([choice("second"), choice("first")])
    wait_for(lambda: not chain.is_settled)
    time.sleep(0.2)  # longer than the moment: it is still being loaded
    assert not chain.is_settled
    loading.set()
    wait_for(lambda: chain.status.takeovers == 1)
    assert not chain.is_settled
    wait_for(lambda: chain.is_settled)


def test_what_is_no_longer_wanted_runs_until_its_successor_is_ready(bench, script):
    running = bench("first", policy=PATIENT)
    script.at_load["second"] = BackendError("not yet")
    running.chain.set_choices([choice("second")])
    wait_for(lambda: running.chain.status.refusals)
    assert running.answer() == "first"
    assert running.chain.status.why == (
        "it goes on until one of the backends that are wanted now is ready"
    )
    assert running.chain.status.degraded


def test_naming_what_runs_already_opens_nothing(bench, script):
    running = bench("first", "second", policy=PATIENT)
    running.chain.set_choices([choice("first", expected=False)])
    assert running.answer() == "first"
    assert script.opened == ["first"]


def test_a_new_list_gives_what_failed_another_chance(bench, script):
    running = bench("first", "second", policy=PATIENT)
    script.at_run["first"] = raising(BackendError("once"))
    assert running.answer() == "second"
    script.at_run.clear()
    running.chain.set_choices([choice("first"), choice("second")])
    running.answers_until("first")


def test_each_backend_is_made_used_and_closed_on_one_thread_that_is_not_the_callers(bench, script):
    running = bench("first", "second", policy=PATIENT)
    running.answer()
    script.at_run["first"] = raising(BackendError("enough"))
    running.answer()
    running.chain.close()
    wait_for(lambda: sorted(script.closed) == ["first", "second"])
    assert [len(script.threads[name]) for name in ("first", "second")] == [1, 1]
    assert threading.get_ident() not in script.threads["first"] | script.threads["second"]
    assert script.threads["first"] != script.threads["second"]


def test_swapping_to_and_fro_under_load_loses_and_reorders_no_frame(bench, script):
    running = bench("first", "second", policy=PATIENT)
    running.answer()
    stop = threading.Event()

    def swap() -> None:
        names = ["second", "third", "first"]
        while not stop.is_set():
            running.chain.set_choices([choice(names[0])])
            names.append(names.pop(0))
            time.sleep(0.01)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        answers = [running.answer() for _ in range(1500)]
    finally:
        stop.set()
        swapping.join()
    assert len(set(answers)) == 3
    assert running.chain.status.takeovers >= 3
    running.chain.close()
    wait_for(lambda: len(script.closed) == len(script.opened))


def test_closing_ends_all_threads_and_frames_are_refused_afterwards(bench, script):
    running = bench("first", "second")
    running.chain.close()
    running.chain.close()
    assert script.closed == ["first"]
    with pytest.raises(BackendError, match="the chain is closed"):
        running.answer()
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("inference first") for name in names)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Bench], list[Exception]]]:
    """Have frames answered on another thread, under chains that are closed without patience."""
    monkeypatch.setattr(chain_module, "_THREAD_END_S", 0.1)
    threads: list[threading.Thread] = []

    def start(running: Bench) -> list[Exception]:
        errors: list[Exception] = []

        def answer() -> None:
            try:
                running.answer()
            except Exception as error:
                errors.append(error)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return errors

    yield start
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()


def test_closing_does_not_wait_for_a_library_that_hangs_where_there_is_no_deadline(
    bench, script, answering
):
    running = bench("first", policy=replace(PATIENT, deadline_s=0.0))
    hangs, released, returned = (threading.Event() for _ in range(3))

    def hang() -> None:
        hangs.set()
        released.wait(5.0)
        returned.set()

    script.at_run["first"] = hang
    answering(running)
    assert hangs.wait(5.0)
    running.chain.close()
    assert not returned.is_set()
    released.set()
    wait_for(lambda: script.closed == ["first"])


def test_a_backend_that_is_loaded_for_a_frame_after_the_end_is_closed_again(
    bench, script, answering
):
    running = bench("first", "second", policy=replace(PATIENT, load_timeout_s=5.0))
    loaded = script.at_load["second"] = threading.Event()
    script.at_run["first"] = raising(BackendError("no power"))
    errors = answering(running)
    wait_for(lambda: script.opened == ["first", "second"])
    running.chain.close()
    loaded.set()
    wait_for(lambda: script.closed == ["first", "second"])
    wait_for(lambda: errors)
    # Not a word of the second, which was never refused.
    assert str(errors[0]).startswith("no backend works: first (first.onnx): no power")
    assert "second" not in str(errors[0])
    assert running.running is None


def test_a_backend_without_a_file_is_told_in_the_status(script):
    missing = MissingChoice("tensorrt", "the model has no plan", expected=False)
    chain = FallbackChain([choice("first")], [missing], script.make, PATIENT)
    chain.start()
    assert [str(each) for each in chain.status.refusals] == ["tensorrt: the model has no plan"]
    assert not chain.status.degraded
    chain.close()


def test_reports_of_failures_are_warnings_and_a_return_is_not(bench, script):
    running = bench("first", "second")
    script.at_run["first"] = raising(BackendError("once"))
    running.answer()
    script.at_run.clear()
    running.answers_until("first")
    wait_for(lambda: running.log[-1].startswith("first"))
    severities = [report.severity for report in running.reports if report.text]
    assert severities == [Severity.WARNING, Severity.WARNING, Severity.INFO]
