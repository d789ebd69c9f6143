from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.engine_queue import EngineQueue, EngineRequest, ResultKind
from jetson_detect.builder.engine_targets import EngineTarget
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.outcome import OutcomeKind
from jetson_detect.builder.stage_errors import BuildCancelledError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.core.model import Precision

WAIT_S = 10.0


def request(model: str, precision: Precision = Precision.FP16, files: int = 0) -> EngineRequest:
    """Ask for an engine of a model whose files have this fingerprint."""
    return EngineRequest(
        EngineTarget(model, precision),
        BuildJob(Path("/models") / model),
        StageLimits(),
        ((model, 0, files),),
    )


A, B, C = request("a"), request("b"), request("c")


@dataclass
class Outcome:
    text: str = "promoted"
    usable: bool = True
    kind: OutcomeKind = OutcomeKind.PROMOTED
    notes: tuple[str, ...] = ("three tactics were skipped",)

    def __str__(self) -> str:
        return self.text


class Workshop:
    """Builds nothing, as it is told; and listens to the queue."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.limits: list[StageLimits] = []
        self.open = 0
        self.events: list[tuple[str, Any]] = []
        self.behaviour: Callable[[str, threading.Event], Outcome] = lambda model, cancel: Outcome()
        self.started_building = threading.Event()
        self._on_progress: Callable[[BuildProgress], None] | None = None

    @contextlib.contextmanager
    def open_builder(
        self, limits: StageLimits, on_progress: Callable[[BuildProgress], None]
    ) -> Iterator[Any]:
        self.limits.append(limits)
        self._on_progress = on_progress
        self.open += 1
        yield self
        self.open -= 1

    def build(self, job: BuildJob, cancel: threading.Event, wait: bool = True) -> Any:
        self.built.append(job.model.name)
        self.tell("building", 0.5)
        self.started_building.set()
        return self.behaviour(job.model.name, cancel)

    def tell(self, phase: str, fraction: float | None) -> None:
        assert self._on_progress is not None
        self._on_progress(BuildProgress("model", "fp16", phase, fraction, 1.0, None))

    def started(self, target: EngineTarget) -> None:
        self.events.append(("started", target.model))

    def progressed(self, progress: BuildProgress) -> None:
        self.events.append(("progressed", progress.phase))

    def ended(self, target: EngineTarget, result: Any) -> None:
        self.events.append(("ended", (target.model, result.kind)))

    def changed(self) -> None:
        pass


class Blocked:
    """A build that goes on until it is released or cancelled."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def __call__(self, model: str, cancel: threading.Event) -> Outcome:
        while not self.release.wait(0.01):
            if cancel.is_set():
                raise BuildCancelledError("cancelled")
        return Outcome()


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def queue(workshop: Workshop) -> Iterator[EngineQueue]:
    with EngineQueue(workshop.open_builder, workshop) as queue:
        yield queue


def wait_for(condition: Callable[[], object]) -> None:
    deadline = threading.Event()
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("waited in vain")


def finished(queue: EngineQueue, count: int) -> Callable[[], bool]:
    return lambda: len(queue.status.results) == count and queue.status.building is None


def kinds(queue: EngineQueue) -> dict[str, ResultKind]:
    return {target.model: result.kind for target, result in queue.status.results.items()}


def test_engines_are_built_in_the_order_asked_for_by_one_builder(queue, workshop):
    assert queue.keep([A, B, C]) == (A.target, B.target, C.target)
    wait_for(finished(queue, 3))
    assert workshop.built == ["a", "b", "c"]
    assert len(workshop.limits) == 1
    wait_for(lambda: workshop.open == 0)
    assert workshop.events[:3] == [
        ("started", "a"),
        ("progressed", "building"),
        ("ended", ("a", ResultKind.READY)),
    ]


def test_the_status_tells_what_is_built_how_far_it_is_and_what_waits(queue, workshop):
    workshop.behaviour = blocked = Blocked()
    queue.keep([A, B])
    assert workshop.started_building.wait(WAIT_S)
    status = queue.status
    assert status.building == A.target
    assert status.waiting == (B.target,)
    assert status.progress is not None
    assert status.progress.fraction == 0.5
    blocked.release.set()
    wait_for(finished(queue, 2))
    assert queue.status.progress is None


def test_notes_are_told_of_what_was_built_and_not_of_what_was_found(queue, workshop):
    workshop.behaviour = lambda model, cancel: Outcome(
        kind=OutcomeKind.FOUND if model == "b" else OutcomeKind.PROMOTED
    )
    queue.keep([A, B])
    wait_for(finished(queue, 2))
    results = queue.status.results
    assert results[A.target].notes == ("three tactics were skipped",)
    assert results[B.target].notes == ()


def fail(model: str, cancel: threading.Event) -> Outcome:
    if model == "a":
        raise RuntimeError("build: TensorRT has no implementation")
    return Outcome("no agreement", usable=False)


def test_what_failed_is_not_built_again_until_it_is_asked_for(queue, workshop):
    workshop.behaviour = fail
    queue.keep([A, B])
    wait_for(finished(queue, 2))
    assert kinds(queue) == {"a": ResultKind.FAILED, "b": ResultKind.SET_ASIDE}
    results = queue.status.results
    assert results[A.target].text == (
        "engine fp16 of model 'a': build: TensorRT has no implementation"
    )
    assert results[B.target].text == "no agreement"
    assert queue.keep([A, B]) == ()
    assert workshop.built == ["a", "b"]
    workshop.behaviour = lambda model, cancel: Outcome()
    assert queue.ask([A, B]) == (A.target, B.target)
    wait_for(lambda: set(kinds(queue).values()) == {ResultKind.READY})
    assert workshop.built == ["a", "b", "a", "b"]


def test_what_failed_is_built_again_with_other_limits_and_what_is_ready_is_not(queue, workshop):
    workshop.behaviour = lambda model, cancel: fail("a", cancel) if model == "a" else Outcome()
    queue.keep([A, B])
    wait_for(finished(queue, 2))
    more = [replace(each, limits=StageLimits(memory_mb=4000)) for each in (A, B)]
    assert queue.keep(more) == (A.target,)


def test_what_is_ready_is_built_again_when_its_files_have_changed_and_come_to_rest(queue, workshop):
    queue.keep([A])
    wait_for(finished(queue, 1))
    assert queue.keep([request("a", files=1)]) == ()
    assert queue.keep([request("a", files=2)]) == ()
    assert queue.keep([request("a", files=2)]) == (A.target,)
    wait_for(lambda: workshop.built == ["a", "a"])
    wait_for(finished(queue, 1))
    assert queue.keep([request("a", files=2)]) == ()


def test_another_way_of_building_is_built_at_once(queue, workshop):
    queue.keep([A])
    wait_for(finished(queue, 1))
    assert queue.keep([replace(A, job=replace(A.job, device=1))]) == (A.target,)


def test_what_is_no_longer_wanted_leaves_the_line_and_the_status(queue, workshop):
    workshop.behaviour = blocked = Blocked()
    queue.keep([A, B, C])
    assert workshop.started_building.wait(WAIT_S)
    queue.keep([A, C])
    assert queue.status.waiting == (C.target,)
    blocked.release.set()
    wait_for(finished(queue, 2))
    assert workshop.built == ["a", "c"]
    queue.keep([C])
    assert kinds(queue) == {"c": ResultKind.READY}


def test_what_is_being_built_or_waits_is_not_queued_twice(queue, workshop):
    workshop.behaviour = blocked = Blocked()
    queue.keep([A, B])
    assert workshop.started_building.wait(WAIT_S)
    assert queue.ask([A, B]) == ()
    blocked.release.set()
    wait_for(finished(queue, 2))
    assert workshop.built == ["a", "b"]


def test_cancelling_stops_what_is_built_and_drops_what_waits(queue, workshop):
    workshop.behaviour = Blocked()
    queue.keep([A, B])
    assert workshop.started_building.wait(WAIT_S)
    assert queue.cancel() == (A.target, B.target)
    assert queue.status.building is None
    assert kinds(queue) == {"a": ResultKind.CANCELLED, "b": ResultKind.CANCELLED}
    assert queue.cancel() == ()
    assert workshop.built == ["a"]
    assert queue.keep([A, B]) == ()
    queue.forget_cancelled()
    workshop.behaviour = lambda model, cancel: Outcome()
    assert queue.keep([A, B]) == (A.target, B.target)


def test_a_build_that_is_done_when_it_is_cancelled_was_not_cancelled(queue, workshop):
    def finish(model: str, cancel: threading.Event) -> Outcome:
        cancel.wait(WAIT_S)
        return Outcome()

    workshop.behaviour = finish
    queue.keep([A])
    assert workshop.started_building.wait(WAIT_S)
    assert queue.cancel() == ()
    assert kinds(queue) == {"a": ResultKind.READY}


def test_a_build_that_does_not_end_is_told_of(queue, workshop):
    blocked = Blocked()
    workshop.behaviour = lambda model, cancel: blocked(model, threading.Event())
    queue.keep([A])
    assert workshop.started_building.wait(WAIT_S)
    try:
        with pytest.raises(TimeoutError, match=r"has not ended 0\.05 s after it was cancelled"):
            queue.cancel(0.05)
        # What it will bring is lost: asked for now, it is built again.
        assert queue.ask([A]) == (A.target,)
    finally:
        blocked.release.set()


def test_a_fault_of_a_build_costs_that_build(queue, workshop):
    workshop.behaviour = lambda model, cancel: {}[model]  # type: ignore[return-value]
    queue.keep([A, B])
    wait_for(finished(queue, 2))
    assert kinds(queue) == {"a": ResultKind.FAILED, "b": ResultKind.FAILED}
    assert "KeyError: 'a'" in queue.status.results[A.target].text


def test_other_limits_take_another_builder(queue, workshop):
    other = replace(B, limits=StageLimits(memory_mb=100))
    queue.keep([A, other, C])
    wait_for(finished(queue, 3))
    assert [each.memory_mb for each in workshop.limits] == [0, 100, 0]
    wait_for(lambda: workshop.open == 0)


def test_closing_ends_what_is_built(workshop):
    workshop.behaviour = Blocked()
    with EngineQueue(workshop.open_builder, workshop) as queue:
        queue.keep([A, B])
        assert workshop.started_building.wait(WAIT_S)
    assert workshop.built == ["a"]
    assert workshop.open == 0
    assert kinds(queue) == {"a": ResultKind.CANCELLED}
