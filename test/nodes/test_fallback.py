"""The running backend fails in the node's process; another process sees what comes of it.

TensorRT and pycuda are the stand-ins of ``test/fakes``, which run the ONNX file on the CPU and fail
as the file says that ``FAKE_TENSORRT_FAULTS`` names; all else is what runs on a robot.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.demo_bag import DemoBagConfig, write_demo_bag
from jetson_detect.share import find_model

pytestmark = pytest.mark.dds

DETECTOR = "jetson_detect.commands.detector_node"
REPLAY = "jetson_detect.commands.replay"
FAKES = Path(__file__).parent.parent / "fakes"
LATCHED = QoSProfile(
    depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)
FRAMES = 120
BUILD = """
import sys
from pathlib import Path
from jetson_detect.core.engines.building import BuildOptions, build_engine
Path(sys.argv[2]).write_bytes(build_engine(Path(sys.argv[1]), BuildOptions()).plan)
"""
QUICK = {
    "fallback.deadline_s": 0.3,
    "fallback.missed_deadlines": 2,
    "fallback.retry_initial_s": 0.2,
    "fallback.retry_maximum_s": 0.5,
}


def with_fakes(environment: dict[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(FAKES), environment.get("PYTHONPATH", "")]))
    return {**environment, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model with a plan for the stand-in of TensorRT."""
    folder = tmp_path_factory.mktemp("model")
    demo = find_model("demo")
    for name in ("demo_fp32.tflite", "demo_int8.tflite", "demo.onnx", "demo.keras"):
        shutil.copy(demo / name, folder)
    text = (demo / "model.yaml").read_text()
    (folder / "model.yaml").write_text(
        text.replace("files:\n", "files:\n  - {format: tensorrt, path: demo.plan}\n")
    )
    subprocess.run(
        [sys.executable, "-c", BUILD, str(folder / "demo.onnx"), str(folder / "demo.plan")],
        env=with_fakes({**os.environ}),
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bag") / "scenes"
    write_demo_bag(path, DemoBagConfig(frames=FRAMES, width=320, height=240))
    return path


class Watcher:
    """What another process sees of the detector."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.statuses: list[DiagnosticStatus] = []
        self.diagnostics: list[DiagnosticStatus] = []
        self.stamps: list[float] = []
        node = graph.node()
        node.create_subscription(
            DiagnosticStatus, "/detector/status", self.statuses.append, LATCHED
        )
        node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda each: self.diagnostics.extend(each.status), 10
        )
        node.create_subscription(Detection2DArray, "/camera/detections", self._answered, 500)

    def _answered(self, message: Detection2DArray) -> None:
        stamp = message.header.stamp
        self.stamps.append(stamp.sec + stamp.nanosec * 1e-9)

    @property
    def status(self) -> dict[str, str]:
        return values(self.statuses[-1]) if self.statuses else {}

    def wait_for_backend(self, name: str) -> None:
        self.graph.spin_until(
            lambda: self.status.get("backend") == name, what=f"a status with {name}"
        )


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {each.key: each.value for each in status.values}


@pytest.fixture
def faults(graph: Any, tmp_path: Path) -> Callable[..., None]:
    """Say how the stand-in fails; called without anything, it is healthy."""
    file = tmp_path / "faults.json"
    graph.environment = with_fakes({**graph.environment, "FAKE_TENSORRT_FAULTS": str(file)})

    def set_faults(**faults: Any) -> None:
        scratch = file.with_suffix(".new")
        scratch.write_text(json.dumps(faults))
        scratch.replace(file)  # never seen half written

    set_faults()
    return set_faults


def start_detector(graph: Any, model: Path, **parameters: Any) -> Any:
    given = {"model": model, "image_topics": "[/camera/image_raw]", **parameters}
    arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
    process = graph.start(DETECTOR, "--ros-args", *arguments)
    process.wait_for_output("detecting: /camera/image_raw")
    return process


def replay(graph: Any, bag: Path, report: Path, *arguments: object) -> dict[str, Any]:
    """Replay a bag while this process goes on listening; return the report."""
    process = graph.start(REPLAY, bag, "--report", report, "--timeout", 10, *arguments)
    graph.spin_until(lambda: process.popen.poll() is not None, timeout=60.0, what="the replay")
    assert process.wait() == 0, process.output
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def all_answered_in_order(report: dict[str, Any]) -> None:
    assert report["sent"] == report["answered"] == FRAMES
    assert report["lost"] == []
    assert report["out_of_order"] == report["duplicates"] == report["unknown"] == 0


def test_the_first_choice_runs_and_says_so_in_the_log_the_status_and_the_diagnostics(
    graph, faults, model
):
    process = start_detector(graph, model, backends="[tensorrt, tflite]")
    watcher = Watcher(graph)
    watcher.wait_for_backend("tensorrt")
    assert watcher.statuses[-1].level == DiagnosticStatus.OK
    assert watcher.status["why"] == "it is the first choice"
    assert watcher.status["file"] == str(model / "demo.plan")
    graph.spin_until(lambda: watcher.diagnostics, what="a message on /diagnostics")
    assert watcher.diagnostics[-1].name == "detector: backend"
    assert values(watcher.diagnostics[-1])["backend"] == "tensorrt"
    assert process.output.count("model 'demo' (6 classes) runs on tensorrt") == 1


def test_a_backend_that_fails_at_load_is_replaced_and_comes_back_when_it_is_healthy(
    graph, faults, model, bag, tmp_path
):
    faults(load="the plan was built for another GPU")
    process = start_detector(graph, model, backends="[tensorrt, tflite]", **QUICK)
    watcher = Watcher(graph)
    report = replay(graph, bag, tmp_path / "report.json", "--lock-step")
    all_answered_in_order(report)
    watcher.wait_for_backend("tflite")
    assert watcher.statuses[-1].level == DiagnosticStatus.WARN
    assert watcher.statuses[-1].message == "runs on tflite in place of tensorrt"
    assert "the plan was built for another GPU" in watcher.status["refused: tensorrt (demo.plan)"]
    faults()
    watcher.wait_for_backend("tensorrt")
    assert watcher.statuses[-1].level == DiagnosticStatus.OK
    # In the log once, however often it was tried again.
    assert process.output.count("the plan was built for another GPU") == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"fail_at": 50}, "inference failed"),
        ({"nan_at": 50}, "numbers that are not finite"),
        ({"hang_at": 50}, "missed 2 deadlines of 0.3 s in a row"),
    ],
    ids=["raises", "nan", "hangs"],
)
def test_a_backend_that_fails_at_a_frame_costs_none_and_comes_back_when_it_is_healthy(
    graph, faults, model, bag, tmp_path, fault, reason
):
    faults(**fault)
    start_detector(graph, model, backends="[tensorrt, tflite]", **QUICK)
    watcher = Watcher(graph)
    watcher.wait_for_backend("tensorrt")
    report = replay(graph, bag, tmp_path / "report.json", "--lock-step")
    all_answered_in_order(report)
    watcher.wait_for_backend("tflite")
    assert watcher.statuses[-1].level == DiagnosticStatus.WARN
    assert any(
        reason in values(status).get("refused: tensorrt (demo.plan)", "")
        for status in watcher.statuses
    )
    faults()
    watcher.wait_for_backend("tensorrt")
    all_answered_in_order(replay(graph, bag, tmp_path / "again.json", "--lock-step"))
    assert watcher.status["backend"] == "tensorrt"


def test_a_hot_swap_under_a_stream_of_30_images_a_second_loses_and_reorders_no_frame(
    graph, model, bag, tmp_path
):
    # At other times the newest frame counts: a machine that is held up for a while may cost some.
    start_detector(graph, model, **{"backends": "[tflite]", "image_qos.depth": FRAMES})
    watcher = Watcher(graph)
    watcher.wait_for_backend("tflite")
    streaming = graph.start(REPLAY, bag, "--report", tmp_path / "report.json")
    graph.spin_until(lambda: len(watcher.stamps) > 20, what="answers")
    swaps = []
    for name in ("onnxruntime", "tflite"):
        before = len(watcher.stamps)
        result = graph.set_parameter("/detector", "backends", [name])
        assert result.successful, result.reason
        watcher.wait_for_backend(name)
        assert streaming.popen.poll() is None, "the stream ended before the swap"
        graph.spin_until(lambda start=before: len(watcher.stamps) > start + 10, what="answers")
        swaps.append(watcher.stamps[before - 1 :])
    graph.spin_until(lambda: streaming.popen.poll() is not None, what="the end of the stream")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["answered"] == len(watcher.stamps) > 0.9 * FRAMES
    assert report["out_of_order"] == report["duplicates"] == report["unknown"] == 0
    assert watcher.stamps == sorted(watcher.stamps)
    for stamps in swaps:
        assert np.diff(stamps) == pytest.approx(1 / DemoBagConfig().fps, rel=0.01), report["lost"]
    assert int(watcher.status["takeovers"]) == 2


def test_configured_anew_the_node_says_again_what_runs_whether_that_is_a_warning_or_not(
    graph, faults, model
):
    faults(load="the plan was built for another GPU")
    process = start_detector(graph, model, backends="[tensorrt, tflite]")
    assert "[WARN]" in next(line for line in process.lines if "runs on tflite" in line)
    faults()
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
    ):
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = graph.call(ChangeState, "/detector/change_state", request)
        assert answer.success, process.output
    process.wait_for_output("runs on tensorrt")
    assert "[INFO]" in next(line for line in process.lines if "runs on tensorrt" in line)


def test_what_is_required_and_cannot_run_keeps_the_node_from_starting(graph, faults, model):
    faults(load="the plan was built for another GPU")
    process = graph.start(
        DETECTOR, "--ros-args", "-p", f"model:={model}", "-p", "require:=tensorrt"
    )
    assert process.wait() == 1
    assert "no backend works: tensorrt (demo.plan)" in process.output
    assert "the plan was built for another GPU" in process.output


def test_what_is_required_is_not_replaced_when_it_fails(graph, faults, model, bag, tmp_path):
    start_detector(graph, model, require="tensorrt", **QUICK)
    watcher = Watcher(graph)
    watcher.wait_for_backend("tensorrt")
    faults(fail_at=1, load="the GPU is gone")
    process = graph.start(
        REPLAY, bag, "--lock-step", "--timeout", 0.5, "--startup-timeout", 5, "--quiet"
    )
    graph.spin_until(
        lambda: watcher.statuses[-1].level == DiagnosticStatus.ERROR, what="an error status"
    )
    assert "backend" not in watcher.status
    graph.spin_until(
        lambda: "the GPU is gone" in watcher.status["refused: tensorrt (demo.plan)"],
        what="the reason of a retry",
    )
    graph.spin_until(lambda: process.popen.poll() is not None, what="the replay")
    assert process.wait() == 1
    assert watcher.stamps == []
    faults()
    watcher.wait_for_backend("tensorrt")


def test_a_list_without_a_backend_that_the_model_has_a_file_for_is_refused(graph):
    start_detector(graph, find_model("demo"), backends="[tflite]")
    for wanted, problem in (
        (["tensorrt"], "the tensorrt backend needs a file of format tensorrt"),
        (["tenssort"], "'tenssort'"),
        (["tflite", "tflite"], "one is named twice"),
    ):
        result = graph.set_parameter("/detector", "backends", wanted)
        assert not result.successful
        assert problem in result.reason


def test_the_status_is_latched(graph, model):
    start_detector(graph, model, backends="[tflite]")
    time.sleep(1.0)  # the status was published before anybody listened
    watcher = Watcher(graph)
    watcher.wait_for_backend("tflite")
