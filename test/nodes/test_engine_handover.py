"""The builder's process hands an engine over to the detector's, while frames flow.

TensorRT and pycuda are the stand-ins of ``test/fakes``, as in ``test_fallback.py``; the stages of
the builds are real processes.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from jetson_detect.core.engines.cache import EngineCache
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.share import find_model

pytestmark = pytest.mark.dds

DETECTOR = "jetson_detect.commands.detector_node"
BUILDER = "jetson_detect.commands.builder_node"
FAKES = Path(__file__).parent.parent / "fakes"
LATCHED = QoSProfile(
    depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)
PERIOD_S = 1 / 30
SCENE = SceneSequence(seed=5, width=160, height=120).frame(3).image


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: the demo model as TFLite and ONNX, nothing that needs TensorFlow."""
    folder = tmp_path_factory.mktemp("models") / "parking"
    folder.mkdir()
    demo = find_model("demo")
    document = yaml.safe_load((demo / "model.yaml").read_text())
    document["name"] = "parking lot"
    document["files"] = [
        each for each in document["files"] if each["path"] in ("demo_fp32.tflite", "demo.onnx")
    ]
    for each in document["files"]:
        shutil.copy(demo / each["path"], folder)
    (folder / "model.yaml").write_text(yaml.safe_dump(document))
    return folder.parent


class Robot:
    """A detector and a builder on one cache, and what another process sees of them."""

    def __init__(self, graph: Any, models: Path, folder: Path) -> None:
        self.graph, self.models = graph, models
        self.cache = EngineCache(folder / "cache" / "engines")
        self._faults = folder / "faults.json"
        # The detector asks for a GPU before it imports TensorRT.
        (folder / "sitecustomize.py").write_text("import simulated_gpu\nsimulated_gpu.install()\n")
        path = [str(FAKES), str(folder), graph.environment.get("PYTHONPATH", "")]
        graph.environment.update(
            PYTHONPATH=os.pathsep.join(filter(None, path)),
            FAKE_TENSORRT_FAULTS=str(self._faults),
            JETSON_DETECT_CACHE=str(folder / "cache"),
        )
        self.faults()
        self.status: list[DiagnosticStatus] = []
        self.progress: list[DiagnosticStatus] = []
        self.announced: list[DiagnosticArray] = []
        self.node = graph.node("watcher")
        for kind, topic, kept in (
            (DiagnosticStatus, "/detector/status", self.status),
            (DiagnosticStatus, "/engine_builder/progress", self.progress),
            (DiagnosticArray, "/jetson_detect/engines", self.announced),
        ):
            self.node.create_subscription(kind, topic, kept.append, LATCHED)

    def faults(self, **faults: Any) -> None:
        """Say how the stand-in of TensorRT fails; called without anything, it is healthy."""
        scratch = self._faults.with_suffix(".new")
        scratch.write_text(json.dumps(faults))
        scratch.replace(self._faults)  # never seen half written

    def start_detector(self, **parameters: Any) -> Any:
        given = {
            "model": self.models / "parking",
            "image_topics": "[/camera/image_raw]",
            "image_qos.reliability": "reliable",
            "backends": "[tensorrt, tflite]",
            **parameters,
        }
        process = self.graph.start(DETECTOR, "--ros-args", *_as_arguments(given))
        process.wait_for_output("detecting: /camera/image_raw")
        return process

    def start_builder(self, **parameters: Any) -> Any:
        given = {
            "model_folders": f"[{self.models}]",
            "models": "[parking]",
            "proof.count": 4,
            "proof.min_speedup": 0.0,
            "niceness": 0,
            **parameters,
        }
        return self.graph.start(BUILDER, "--ros-args", *_as_arguments(given))

    def call(self, name: str) -> Trigger.Response:
        answer: Trigger.Response = self.graph.call(
            Trigger, f"/engine_builder/{name}", Trigger.Request()
        )
        return answer

    def set_backends(self, *names: str) -> None:
        result = self.graph.set_parameter("/detector", "backends", list(names))
        assert result.successful, result.reason

    def wait_for_phase(self, phase: str) -> None:
        self.graph.spin_until(
            lambda: self.progress and phase in values(self.progress[-1]).get("phase", ""),
            what=f"phase {phase}",
        )

    def wait_for_result(self, kind: str) -> str:
        def result() -> str:
            text = values(self.progress[-1]).get("result: parking fp16", "")
            return text if text.startswith(f"{kind}: ") else ""

        self.graph.spin_until(
            lambda: self.progress and result(), timeout=60.0, what=f"a build that is {kind}"
        )
        return result()

    def engines(self) -> list[DiagnosticStatus]:
        """What is announced now."""
        self.graph.spin_until(lambda: self.announced, what="an announcement")
        return list(self.announced[-1].status)

    def wait_for_backend(self, name: str) -> dict[str, str]:
        self.graph.spin_until(
            lambda: self.status and values(self.status[-1]).get("backend") == name,
            what=f"a status with {name}",
        )
        return values(self.status[-1])


class Camera:
    """Sends a frame when the last one is answered, but not more than 30 in a second."""

    def __init__(self, robot: Robot) -> None:
        self.sent = 0
        self.answered: list[int] = []
        self._image = Image(height=120, width=160, step=480, encoding="bgr8")
        self._image.data = array.array("B", np.ascontiguousarray(SCENE).tobytes())
        self._publisher = robot.node.create_publisher(Image, "/camera/image_raw", 10)
        robot.node.create_subscription(Detection2DArray, "/camera/detections", self._take, 10)
        robot.graph.spin_until(self._is_connected, what="the detector's topics")
        self._timer = robot.node.create_timer(PERIOD_S, self._send)

    def stop(self) -> None:
        self._timer.cancel()

    def _is_connected(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def _send(self) -> None:
        if len(self.answered) < self.sent:
            return
        self.sent += 1
        self._image.header = Header(stamp=Time(sec=self.sent), frame_id="camera")
        self._publisher.publish(self._image)

    def _take(self, message: Detection2DArray) -> None:
        self.answered.append(message.header.stamp.sec)


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {each.key: each.value for each in status.values}


def children(process: Any) -> list[psutil.Process]:
    return psutil.Process(process.popen.pid).children(recursive=True)


def _as_arguments(parameters: dict[str, Any]) -> list[str]:
    return [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]


@pytest.fixture
def robot(graph: Any, models: Path, tmp_path: Path) -> Robot:
    return Robot(graph, models, tmp_path)


def test_an_engine_is_built_proven_and_taken_over_and_no_frame_is_lost(robot):
    detector = robot.start_detector()
    assert robot.wait_for_backend("tflite")["file"].endswith("demo_fp32.tflite")
    camera = Camera(robot)
    builder = robot.start_builder()
    status = robot.wait_for_backend("tensorrt")
    seen = len(camera.answered)
    robot.graph.spin_until(lambda: len(camera.answered) > seen + 10, what="answers of the engine")
    camera.stop()
    robot.graph.spin_until(lambda: len(camera.answered) == camera.sent, what="the last answer")
    assert camera.answered == list(range(1, camera.sent + 1))
    assert seen > 10

    (entry,) = robot.cache.entries()
    assert status["file"] == str(entry.plan)
    assert status["precision"] == "fp16"
    assert robot.status[-1].level == DiagnosticStatus.OK
    assert "engine fp16 of model 'parking lot' was promoted; taking it over" in detector.output
    assert "building engine fp16 of model 'parking'" in builder.output
    assert "parking lot fp16: promoted after" in builder.output

    # Started again, the detector begins with the engine; and engines stay known while others run.
    detector.stop()
    robot.status.clear()
    detector = robot.start_detector()
    status = robot.wait_for_backend("tensorrt")
    assert (status["file"], status["takeovers"]) == (str(entry.plan), "0")
    robot.set_backends("tflite")
    robot.wait_for_backend("tflite")
    robot.set_backends("tensorrt")
    assert robot.wait_for_backend("tensorrt")["file"] == str(entry.plan)


def test_an_engine_that_fails_its_proof_is_announced_to_nobody(robot):
    robot.faults(plan_noise=0.5)
    robot.start_detector()
    builder = robot.start_builder()
    result = robot.wait_for_result("set aside")
    assert "it failed its proof" in result
    assert robot.progress[-1].level == DiagnosticStatus.WARN
    assert "there is no engine fp16 of model 'parking'" in robot.progress[-1].message
    builder.wait_for_output("it is not built again until its model's files or parameters change")
    assert robot.engines() == []
    assert robot.cache.entries() == ()
    assert len(robot.cache.entries(rejected=True)) == 1
    assert robot.wait_for_backend("tflite")["takeovers"] == "0"


def test_a_build_is_cancelled_or_killed_without_a_trace_and_the_next_one_succeeds(robot):
    robot.faults(build_seconds=600.0)
    builder = robot.start_builder()
    robot.wait_for_phase("building")
    running = children(builder)
    assert running
    answer = robot.call("cancel")
    assert answer.success
    assert answer.message == "cancelled: engine fp16 of model 'parking'"
    assert not any(each.is_running() for each in running)
    robot.wait_for_result("cancelled")
    assert robot.progress[-1].level == DiagnosticStatus.OK

    answer = robot.call("build")
    assert answer.success
    assert answer.message.startswith("in line: engine fp16 of model 'parking';")
    robot.wait_for_phase("converting")
    running = children(builder)
    assert running
    builder.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs(running, timeout=10.0)
    assert alive == []

    robot.faults()
    robot.progress.clear()
    robot.start_builder()
    robot.wait_for_result("ready")
    robot.graph.spin_until(robot.engines, what="the announcement of the engine")
    (engine,), (entry,) = robot.engines(), robot.cache.entries()
    assert (engine.name, values(engine)["key"]) == ("parking lot", entry.key)


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_builder_that_is_told_to_stop_ends_the_processes_of_its_build(robot, stop_signal):
    builder = robot.start_builder()
    builder.wait_for_output("building engine fp16 of model 'parking'")
    robot.graph.spin_until(lambda: children(builder), what="a stage's process")
    running = children(builder)
    assert builder.stop(stop_signal) == 0
    assert not any(each.is_running() for each in running)
    assert "Traceback" not in builder.output
