"""How a detector learns of engines: what is looked for is a stand-in's."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.model import Format, ModelFile, ModelSpec, load_model
from jetson_detect.nodes.engine_announcements import EngineAnnouncements
from jetson_detect.nodes.engine_pickup import EnginePickup
from jetson_detect.nodes.qos import LATCHED
from jetson_detect.share import find_model

pytestmark = pytest.mark.dds

TOPIC = "/jetson_detect/engines"
WAIT_S = 10.0
ENGINE = EngineFiles((ModelFile(Format.TENSORRT, Path("/cache/engine.plan")),))
NONE = EngineFiles()


class Lookup:
    """Finds what it is told to."""

    def __init__(self) -> None:
        self.found: EngineFiles | Exception = ENGINE
        self.searches = 0
        self.free = threading.Event()
        self.free.set()
        self.is_closed = False

    def find(self, model: ModelSpec) -> EngineFiles:
        self.searches += 1
        assert self.free.wait(WAIT_S)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def close(self) -> None:
        self.is_closed = True


class Desk:
    """A pickup, and what it was told and tells."""

    def __init__(self, graph: Any, model: ModelSpec, bare_node: Any) -> None:
        self.graph, self.model = graph, model
        self.lookup = Lookup()
        self.is_wanted = True
        self.news: list[tuple[EngineFiles, EngineFiles]] = []
        node = bare_node("detector", context=graph.context)
        graph.executor.add_node(node)
        lookup: Any = self.lookup
        self.pickup = EnginePickup(
            model,
            lookup,
            EngineAnnouncements(node, TOPIC),
            lambda: self.is_wanted,
            lambda before, after: self.news.append((before, after)),
        )
        self._publisher = graph.node("builder").create_publisher(DiagnosticArray, TOPIC, LATCHED)
        self.graph.spin_until(
            lambda: self._publisher.get_subscription_count() > 0, what="the subscription"
        )

    def announce(self, *models: str) -> None:
        """Say that there is an engine, and claim a lot about it."""
        claim = DiagnosticStatus(message="/etc/passwd", hardware_id="/etc/passwd")
        statuses = [replace_name(claim, model) for model in models]
        self._publisher.publish(DiagnosticArray(status=statuses))

    def wait_for_searches(self, count: int) -> None:
        self.graph.spin_until(lambda: self.lookup.searches >= count, what=f"search {count}")
        assert self.lookup.searches == count


def replace_name(status: DiagnosticStatus, name: str) -> DiagnosticStatus:
    return DiagnosticStatus(name=name, message=status.message, hardware_id=status.hardware_id)


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    folder = tmp_path / "demo"
    shutil.copytree(find_model("demo"), folder)
    return load_model(folder)


@pytest.fixture
def make_desk(
    graph: Any, model: ModelSpec, bare_node: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Desk]]:
    desks = []

    def make(gpu: bool = True) -> Desk:
        monkeypatch.setattr("jetson_detect.nodes.engine_pickup.has_gpu", lambda: gpu)
        desks.append(Desk(graph, model, bare_node))
        return desks[-1]

    yield make
    for desk in desks:
        desk.lookup.free.set()
        desk.pickup.close()
        assert desk.lookup.is_closed


def test_nothing_is_looked_for_before_somebody_asks(make_desk):
    desk = make_desk()
    assert not desk.pickup.has_looked
    assert desk.pickup.look(WAIT_S)
    assert desk.pickup.has_looked
    assert desk.pickup.files == ENGINE
    assert desk.news == [(NONE, ENGINE)]


def test_without_a_gpu_tensorrt_is_not_even_imported(make_desk):
    desk = make_desk(gpu=False)
    assert desk.pickup.look(WAIT_S)
    assert desk.lookup.searches == 0
    assert desk.pickup.files == NONE


def test_an_announcement_for_the_model_starts_a_search_and_one_for_another_does_not(make_desk):
    desk = make_desk()
    desk.announce("other", "demo 2")
    desk.announce("other", "demo")
    desk.wait_for_searches(1)
    desk.graph.spin_until(lambda: desk.news, what="the engine")
    assert desk.pickup.files == ENGINE


def test_announcements_are_let_be_while_no_engine_may_run(make_desk):
    desk = make_desk()
    desk.is_wanted = False
    desk.announce("demo")
    desk.announce("demo")
    for _ in range(10):
        desk.graph.executor.spin_once(timeout_sec=0.05)
    assert not desk.pickup.has_looked


def test_announcements_that_come_during_a_search_make_one_more(make_desk):
    desk = make_desk()
    desk.lookup.free.clear()
    assert not desk.pickup.look(0.0)
    desk.graph.spin_until(lambda: desk.lookup.searches == 1, what="the search")
    for _ in range(3):
        assert not desk.pickup.look(0.01)
    desk.lookup.free.set()
    desk.wait_for_searches(2)
    # What was found again is no news.
    assert desk.pickup.look(WAIT_S)
    assert desk.news == [(NONE, ENGINE)]


def test_frames_are_kept_while_a_search_may_hold_up_python(make_desk):
    desk = make_desk()
    assert desk.pickup.is_settled
    desk.lookup.free.clear()
    desk.pickup.look()
    desk.graph.spin_until(lambda: not desk.pickup.is_settled, what="the search")
    desk.lookup.free.set()
    desk.graph.spin_until(lambda: desk.pickup.is_settled, what="the end of the search")


def test_a_model_that_was_changed_since_gets_no_engine(make_desk, model):
    desk = make_desk()
    text = model.source.read_text().replace("[ball, box,", "[box, ball,")
    model.source.write_text(text)
    assert desk.pickup.look(WAIT_S)
    assert desk.lookup.searches == 0
    (refusal,) = desk.pickup.files.refusals
    assert "model.yaml has changed since this node was configured" in refusal


def test_a_fault_of_a_search_is_a_refusal_and_the_next_one_is_made(make_desk):
    desk = make_desk()
    desk.lookup.found = RuntimeError("out of patience")
    assert desk.pickup.look(WAIT_S)
    assert desk.pickup.files.files == ()
    assert "out of patience" in desk.pickup.files.refusals[0]
    desk.lookup.found = replace(ENGINE, refusals=("another one is broken",))
    assert desk.pickup.look(WAIT_S)
    assert desk.pickup.files == desk.lookup.found


def test_a_model_that_goes_leaves_the_subscription_to_the_others(graph, bare_node):
    node = bare_node("detector", context=graph.context)
    graph.executor.add_node(node)
    announcements = EngineAnnouncements(node, TOPIC)
    told: list[tuple[str, frozenset[str]]] = []
    first, second = (
        lambda models, name=name: told.append((name, models)) for name in ("first", "second")
    )
    announcements.listen(first)
    announcements.listen(second)
    publisher = graph.node("builder").create_publisher(DiagnosticArray, TOPIC, LATCHED)
    message = DiagnosticArray(status=[DiagnosticStatus(name="boat")])
    publisher.publish(message)
    graph.spin_until(lambda: len(told) == 2, what="both to be told")
    # As a model does that is given back, on a thread of its own: an executor waits meanwhile, and
    # fails if a subscription is destroyed under it.
    leaving = threading.Thread(target=announcements.forget, args=(first,))
    leaving.start()
    leaving.join(WAIT_S)
    assert [each.topic_name for each in node.subscriptions] == [TOPIC]
    publisher.publish(message)
    graph.spin_until(lambda: len(told) == 3, what="the other to be told")
    assert [name for name, _ in told] == ["first", "second", "second"]
    assert told[0][1] == {"boat"}
    announcements.destroy()
    assert list(node.subscriptions) == []
