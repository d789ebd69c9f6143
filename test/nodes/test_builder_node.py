"""The builder node in this process; what builds is a stand-in, its process a real one."""

from __future__ import annotations

import importlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_srvs.srv import Trigger

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.outcome import OutcomeKind
from jetson_detect.builder.stage_process import run_stage
from jetson_detect.core.engines.cache import EngineCache, EngineRecord
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.machine import MachineIdentity
from jetson_detect.nodes.builder_node import BuilderNode
from jetson_detect.nodes.parameters import ParameterError
from jetson_detect.share import find_model

pytestmark = pytest.mark.dds

LATCHED = QoSProfile(
    depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)
MACHINE = MachineIdentity("8.6.0", "Orin", "8.7", "540.4.0", "36.4.0")
STAGE = "import time\ndef sleep(seconds, progress): time.sleep(seconds)\n"
BUILT = "engine fp16 of model 'boat'"


def promote(cache: EngineCache, model: str = "boat") -> Any:
    """Put something into the cache."""
    identity = EngineIdentity(model, "ab" * 32, "fp16", {}, {}, "", 1, MACHINE)
    return cache.promote(identity, b"plan" * 100, EngineRecord(figures={"mAP50": 0.998}))


class Workshop:
    """Stands in for the ``EngineBuilder``."""

    def __init__(self) -> None:
        self.cache: Any = None
        self.folder: Path | None = None
        self.jobs: list[Any] = []
        self.behaviour: Callable[[Any, threading.Event], Any] = self.succeed

    def __call__(self, cache: EngineCache, limits: Any, on_progress: Any) -> Workshop:
        self.cache, self.limits, self.on_progress = cache, limits, on_progress
        return self

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def build(self, job: Any, cancel: threading.Event, wait: bool = True) -> Any:
        self.jobs.append(job)
        return self.behaviour(job, cancel)

    def succeed(self, job: Any, cancel: threading.Event) -> Any:
        promote(self.cache, job.model.name)
        return Outcome(f"{job.model.name} promoted")

    def fail(self, job: Any, cancel: threading.Event) -> Any:
        raise RuntimeError("build: out of workspace: give it more")

    def take_long(self, job: Any, cancel: threading.Event) -> Any:
        """Start a process that takes a minute."""
        assert self.folder is not None
        sleep = importlib.import_module("stage_that_sleeps").sleep
        self.on_progress(BuildProgress(job.model.name, "fp16", "sleeping", 0.25, 3.0, 12.0))
        run_stage("sleep", sleep, 60.0, self.folder / "log", limits=self.limits, cancel=cancel)


class Outcome(SimpleNamespace):
    def __init__(self, text: str, usable: bool = True) -> None:
        super().__init__(text=text, usable=usable, kind=OutcomeKind.PROMOTED, notes=())

    def __str__(self) -> str:
        return str(self.text)


class Bench:
    """A builder node in this process, and who watches it."""

    def __init__(self, graph: Any, folder: Path, workshop: Workshop) -> None:
        self.graph, self.workshop = graph, workshop
        workshop.folder = folder
        self.models = folder / "models"
        self.cache = EngineCache(folder / "cache")
        self.node: Any = None
        self.watcher = graph.node("watcher")
        self.progress: list[DiagnosticStatus] = []
        self.diagnostics: list[DiagnosticStatus] = []
        self.engines: list[DiagnosticArray] = []
        for kind, topic, take, quality in (
            (DiagnosticStatus, "/engine_builder/progress", self.progress.append, LATCHED),
            (DiagnosticArray, "/jetson_detect/engines", self.engines.append, LATCHED),
            (DiagnosticArray, "/diagnostics", self._take_diagnostics, 10),
        ):
            self.watcher.create_subscription(kind, topic, take, quality)

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics.extend(message.status)

    def add_model(self, name: str) -> Path:
        folder = self.models / name
        folder.mkdir(parents=True)
        demo = find_model("demo")
        for file in ("model.yaml", "demo.onnx"):
            shutil.copy(demo / file, folder)
        return folder

    def start(self, **parameters: Any) -> Any:
        given = {
            "model_folders": [str(self.models)],
            "models": ["boat"],
            "cache_folder": str(self.cache.folder),
            "watch_period_s": 0.0,
            "diagnostics_period_s": 0.1,
            **parameters,
        }
        self.node = BuilderNode(
            context=self.graph.context,
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        self.graph.executor.add_node(self.node)
        self.node.start()
        return self.node

    def close(self) -> None:
        if self.node is not None:
            self.graph.executor.remove_node(self.node)
            self.node.destroy_node()
            self.node = None

    def call(self, name: str) -> tuple[bool, str]:
        answer = self.graph.call(Trigger, f"/engine_builder/{name}", Trigger.Request())
        return answer.success, answer.message

    def result(self, model: str = "boat") -> str:
        return values(self.progress[-1]).get(f"result: {model} fp16", "") if self.progress else ""

    def wait_for_result(self, text: str, model: str = "boat") -> None:
        self.graph.spin_until(lambda: self.result(model).startswith(text), what=f"result {text}")

    def wait_for_process(self) -> psutil.Process:
        def stages() -> list[psutil.Process]:
            # Python's own helpers, as multiprocessing's, may live beside it.
            return [
                child
                for child in psutil.Process().children()
                if "jetson_detect.builder.stage_process" in child.cmdline()
            ]

        self.graph.spin_until(stages, what="the process of a stage")
        (process,) = stages()
        return process


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {each.key: each.value for each in status.values}


@pytest.fixture
def bench(graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    workshop = Workshop()
    monkeypatch.setattr("jetson_detect.nodes.builder_node.EngineBuilder", workshop)
    (tmp_path / "stage_that_sleeps.py").write_text(STAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    bench = Bench(graph, tmp_path, workshop)
    bench.add_model("boat")
    yield bench
    bench.close()


def test_what_is_missing_is_built_at_the_start_announced_and_shown(bench):
    bench.start()
    bench.wait_for_result("ready: boat promoted")
    assert bench.progress[-1].level == DiagnosticStatus.OK
    assert bench.progress[-1].message == "1 engine is ready"
    bench.graph.spin_until(lambda: bench.engines[-1].status, what="an announcement")
    (engine,) = bench.engines[-1].status
    (entry,) = bench.cache.entries()
    assert (engine.name, engine.hardware_id, engine.message) == ("boat", "Orin", "mAP50 0.998")
    assert values(engine) == {
        "precision": "fp16",
        "key": entry.key,
        "source": "ab" * 32,
        "tensorrt": "8.6.0",
        "created": entry.sidecar.created,
    }
    bench.graph.spin_until(lambda: bench.diagnostics, what="a message on /diagnostics")
    assert bench.diagnostics[-1].name == "engine_builder: engines"


def test_what_is_in_the_cache_is_announced_before_anything_is_built(bench):
    promote(bench.cache, "ship")
    bench.start(build_on_activate=False)
    bench.graph.spin_until(lambda: bench.engines, what="an announcement")
    assert [engine.name for engine in bench.engines[-1].status] == ["ship"]
    assert bench.workshop.jobs == []


def test_an_engine_that_another_process_built_is_announced_too(bench):
    bench.start(build_on_activate=False, watch_period_s=0.1)
    bench.graph.spin_until(lambda: bench.engines, what="an announcement")
    assert bench.engines[-1].status == []
    promote(bench.cache, "ship")
    bench.graph.spin_until(lambda: bench.engines[-1].status, what="another announcement")
    assert [engine.name for engine in bench.engines[-1].status] == ["ship"]


def test_while_it_builds_the_progress_is_told_and_the_node_is_served(bench):
    bench.workshop.behaviour = bench.workshop.take_long
    bench.add_model("ship")
    bench.start(models=["boat", "ship"])
    bench.graph.spin_until(
        lambda: bench.progress and values(bench.progress[-1]).get("phase"), what="progress"
    )
    assert bench.progress[-1].message == f"building {BUILT}"
    assert values(bench.progress[-1]) == {
        "queue": "engine fp16 of model 'ship'",
        "model": "boat",
        "precision": "fp16",
        "phase": "sleeping",
        "percent": "25",
        "elapsed_s": "3",
        "expected_s": "12",
    }
    assert bench.call("build") == (True, "all of it is in line already")


def test_a_failure_is_a_warning_and_is_repeated_only_when_it_is_asked_for(bench):
    bench.workshop.behaviour = bench.workshop.fail
    bench.start(watch_period_s=0.05)
    bench.wait_for_result(f"failed: {BUILT}: build: out of workspace: give it more")
    assert bench.progress[-1].level == DiagnosticStatus.WARN
    assert bench.progress[-1].message == f"there is no {BUILT}: see the values"
    # In ten looks at the files the same was not tried again.
    seen = len(bench.diagnostics)
    bench.graph.spin_until(lambda: len(bench.diagnostics) >= seen + 5, what="time to pass")
    assert len(bench.workshop.jobs) == 1
    bench.workshop.behaviour = bench.workshop.succeed
    assert bench.call("build") == (True, f"in line: {BUILT}; what is in the cache stays as it is")
    bench.wait_for_result("ready")


def test_a_model_whose_file_changes_is_built_again(bench):
    bench.start(watch_period_s=0.05)
    bench.wait_for_result("ready")
    os.utime(bench.models / "boat" / "demo.onnx", ns=(0, 0))
    bench.graph.spin_until(lambda: len(bench.workshop.jobs) == 2, what="another build")


def test_models_that_have_gone_are_each_named_once(bench, capfd):
    bench.add_model("ship")
    bench.start(models=["boat", "ship"], watch_period_s=0.05)
    bench.wait_for_result("ready: ship promoted", "ship")
    for name in ("boat", "ship"):
        shutil.rmtree(bench.models / name)
    seen = len(bench.diagnostics)
    bench.graph.spin_until(lambda: len(bench.diagnostics) >= seen + 5, what="time to pass")
    said = [line for line in capfd.readouterr().err.splitlines() if "there is no model" in line]
    assert ["model 'boat'" in line for line in said] == [True, False]
    assert ["model 'ship'" in line for line in said] == [False, True]


def test_cancelling_answers_when_the_process_is_gone(bench):
    bench.workshop.behaviour = bench.workshop.take_long
    bench.start()
    process = bench.wait_for_process()
    assert bench.call("cancel") == (True, f"cancelled: {BUILT}")
    assert not process.is_running()
    bench.wait_for_result("cancelled")
    assert bench.progress[-1].level == DiagnosticStatus.OK
    assert bench.call("cancel") == (True, "nothing was being built")


@pytest.mark.parametrize("ending", ["deactivate", "destroy"])
def test_a_node_that_stops_leaves_no_process(bench, ending):
    bench.workshop.behaviour = bench.workshop.take_long
    node = bench.start()
    process = bench.wait_for_process()
    if ending == "deactivate":
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    else:
        bench.close()
    assert not process.is_running()


def test_activated_again_it_builds_what_was_broken_off(bench):
    bench.workshop.behaviour = bench.workshop.take_long
    node = bench.start()
    bench.wait_for_process()
    node.trigger_deactivate()
    assert bench.call("build") == (
        False,
        "the builder is not active: configure and activate it first",
    )
    bench.workshop.behaviour = bench.workshop.succeed
    node.trigger_activate()
    bench.wait_for_result("ready")
    for transition in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure):
        assert transition() == TransitionCallbackReturn.SUCCESS
    assert bench.call("verify") == (True, "1 engine is whole")


def test_verifying_tells_of_a_plan_that_was_cut_short(bench):
    first = promote(bench.cache, "boat")
    promote(bench.cache, "ship")
    bench.start(build_on_activate=False)
    assert bench.call("verify") == (True, "2 engines are whole")
    os.truncate(first.plan, 100)
    success, message = bench.call("verify")
    assert not success
    assert f"{first.plan}: has 100 bytes instead of 400" in message


def test_an_answer_does_not_wait_for_something_else_to_happen(bench, graph):
    node = bench.start(build_on_activate=False, diagnostics_period_s=0.0)
    graph.executor.remove_node(node)
    executor = SingleThreadedExecutor(context=graph.context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        assert bench.call("verify") == (True, "0 engines are whole")
    finally:
        executor.shutdown()
        thread.join(10.0)


def test_a_model_that_is_named_while_the_node_runs_is_built(bench):
    bench.add_model("ship")
    node = bench.start()
    bench.wait_for_result("ready")
    (done,) = node.set_parameters([Parameter("models", value=["ship"])])
    assert done.successful
    bench.wait_for_result("ready: ship promoted", "ship")
    assert bench.result("boat") == ""


@pytest.mark.parametrize("name", ["/etc", "../cache", "boat/../../models/boat", "plane"])
def test_a_name_outside_the_model_folders_is_refused_at_the_start_and_later(bench, name):
    with pytest.raises(ParameterError, match="parameter 'models': "):
        bench.start(models=[name])
    node = bench.start()
    (refused,) = node.set_parameters([Parameter("models", value=["boat", name])])
    assert not refused.successful
    assert str(bench.models) in refused.reason
    assert list(node.get_parameter("models").value) == ["boat"]


@pytest.mark.parametrize("name", ["model_folders", "calibration.source", "cache_folder"])
def test_no_place_on_the_disk_can_be_set_while_the_node_runs(bench, name):
    node = bench.start(build_on_activate=False)
    value = ["/etc"] if name == "model_folders" else "/etc"
    (refused,) = node.set_parameters([Parameter(name, value=value)])
    assert not refused.successful
