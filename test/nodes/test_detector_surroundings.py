"""Cameras that come and go, time that jumps, diagnostics, and control of a running detector."""

from __future__ import annotations

import array
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.core.backends import BackendError
from jetson_detect.core.detector_loading import load_detector
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.nodes.control_services import service_names
from jetson_detect.nodes.detector_config import DetectorConfig
from jetson_detect.nodes.detector_node import DetectorNode
from jetson_detect.nodes.parameters import ParameterError, specifications
from jetson_detect.share import find_model

DETECTOR = "jetson_detect.commands.detector_node"
RELIABLE = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)
OK, WARN, ERROR = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
SECOND = 1_000_000_000


def picture() -> np.ndarray:
    scenes = SceneSequence(seed=5, width=320, height=240)
    return next(scene.image for scene in map(scenes.frame, range(200)) if len(scene.boxes) >= 3)


PICTURE = picture()


class Camera:
    """Publishes a picture with stamps of its own, and collects the answers by stamp."""

    def __init__(self, graph: Any, topic: str) -> None:
        self.graph = graph
        self.node = graph.node(f"camera_{time.monotonic_ns()}")
        self.publisher = self.node.create_publisher(Image, topic, RELIABLE)
        self.answers: dict[int, Detection2DArray] = {}
        self.labels: list[LabelInfo] = []
        namespace = topic.rpartition("/")[0]
        self.node.create_subscription(
            Detection2DArray, f"{namespace}/detections", self._keep, RELIABLE
        )
        self.node.create_subscription(
            LabelInfo, f"{namespace}/label_info", self.labels.append, LATCHED
        )

    def _keep(self, message: Detection2DArray) -> None:
        stamp = message.header.stamp
        self.answers[stamp.sec * SECOND + stamp.nanosec] = message

    def wait_until_heard(self) -> None:
        self.graph.spin_until(
            lambda: self.publisher.get_subscription_count() and self.labels, what="the detector"
        )

    def send(self, nanoseconds: int, encoding: str = "bgr8") -> int:
        sec, nanosec = divmod(nanoseconds, SECOND)
        height, width = PICTURE.shape[:2]
        message = Image(height=height, width=width, step=width * 3, encoding=encoding)
        message.header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id="camera")
        message.data = array.array("B", PICTURE.tobytes())
        self.publisher.publish(message)
        return nanoseconds

    def ask(self, nanoseconds: int) -> Detection2DArray:
        self.answers.pop(nanoseconds, None)
        self.send(nanoseconds)
        self.graph.spin_until(lambda: nanoseconds in self.answers, what=f"answer {nanoseconds}")
        return self.answers[nanoseconds]

    def close(self) -> None:
        self.graph.executor.remove_node(self.node)
        self.node.destroy_node()


class Diagnostics:
    """The newest status of each component."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.statuses: dict[str, DiagnosticStatus] = {}
        graph.node("diagnostics").create_subscription(
            DiagnosticArray, "/diagnostics", self._keep, 10
        )

    def _keep(self, message: DiagnosticArray) -> None:
        self.statuses.update({each.name: each for each in message.status})

    def values(self, name: str) -> dict[str, str]:
        status = self.statuses.get(name, DiagnosticStatus())
        return {each.key: each.value for each in status.values}

    def wait_for(self, name: str, **expected: Any) -> DiagnosticStatus:
        """Wait for a level, or for values whose keys are written with underscores."""
        level = expected.pop("level", None)

        def is_there() -> bool:
            if name not in self.statuses or level not in (None, self.statuses[name].level):
                return False
            values = {
                "_".join(key.replace(":", "").split()): value
                for key, value in self.values(name).items()
            }
            return all(values.get(key) == str(value) for key, value in expected.items())

        self.graph.spin_until(
            is_there, what=f"{name} with {level} {expected}, not {self.statuses.get(name)}"
        )
        return self.statuses[name]


@pytest.fixture
def make_node(graph: Any) -> Iterator[Callable[..., DetectorNode]]:
    """Make detectors of this process, that spin with the graph."""
    nodes: list[DetectorNode] = []

    def make(load: Any = load_detector, **parameters: Any) -> DetectorNode:
        given = {"backends": ["tflite"], "engine_cache": "off", **parameters}
        node = DetectorNode(
            context=graph.context,
            make_detector=load,
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        nodes.append(node)
        graph.executor.add_node(node)
        node.start()
        return node

    yield make
    for node in nodes:
        graph.executor.remove_node(node)
        node.destroy_node()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with the demo model, the same with capital labels, and one that does not load."""
    demo = find_model("demo")
    text = (demo / "model.yaml").read_text()
    text = text[: text.index("files:")] + (
        "files:\n  - {format: tflite, path: demo_fp32.tflite}\n\ninput:"
        + text.partition("\ninput:")[2]
    )
    labels = next(line for line in text.splitlines() if line.startswith("labels: "))
    capital = text.replace(labels, f"labels: {labels.removeprefix('labels: ').upper()}")
    folder = tmp_path / "models"
    for name, content in (("demo", text), ("capital-2", capital), ("broken", text)):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.yaml").write_text(content)
        shutil.copy(demo / "demo_fp32.tflite", folder / name)
    (folder / "broken" / "demo_fp32.tflite").write_bytes(b"no network")
    return folder


@pytest.mark.dds
def test_a_camera_comes_late_goes_and_returns_and_what_is_no_camera_is_let_be(graph):
    process = graph.start(
        DETECTOR,
        "--ros-args",
        *("-p", "image_topics:=[/fixed/image_raw, /robot*/**]"),
        *("-p", "diagnostics_period_s:=0.2"),
    )
    process.wait_for_output("looking for cameras: /robot*/**")
    diagnostics = Diagnostics(graph)
    diagnostics.wait_for("detector: camera /fixed/image_raw", level=WARN, publisher="awaited")
    name = "detector: camera /robot7/front/image_raw"
    camera = Camera(graph, "/robot7/front/image_raw")
    process.wait_for_output("detecting: /robot7/front/image_raw -> /robot7/front/detections")
    camera.wait_until_heard()
    assert camera.ask(SECOND).detections
    diagnostics.wait_for(name, level=OK, received=1, answered=1)
    # Beside it, its answers would have the same names.
    other = Camera(graph, "/robot7/front/image_rect")
    process.wait_for_output("/robot7/front/image_rect: left out, since its answers would share")
    other.close()
    camera.close()
    process.wait_for_output("/robot7/front/image_raw: its publisher has gone")
    lost = diagnostics.wait_for(name, level=ERROR, publisher="lost")
    assert "look after the camera's process" in lost.message
    camera = Camera(graph, "/robot7/front/image_raw")
    process.wait_for_output("/robot7/front/image_raw: its publisher is back after")
    camera.wait_until_heard()
    assert camera.ask(2 * SECOND).detections
    diagnostics.wait_for(name, level=OK, received=2, answered=2)
    assert process.output.count("detecting: ") == 2  # its debug image is none, nor is the other
    assert process.output.count("has gone") == process.output.count("is back") == 1
    assert process.output.count("left out") == 1
    assert process.stop() == 0
    assert "Traceback" not in process.output


@pytest.mark.dds
def test_a_camera_that_turns_out_to_send_compressed_images_is_followed(graph):
    process = graph.start(DETECTOR, "--ros-args", "-p", "image_topics:=[/camera/image_raw]")
    process.wait_for_output("detecting:")
    node = graph.node("compressed_camera")
    answers: list[Detection2DArray] = []
    node.create_subscription(Detection2DArray, "/camera/detections", answers.append, RELIABLE)
    publisher = node.create_publisher(CompressedImage, "/camera/image_raw", RELIABLE)
    process.wait_for_output(
        "/camera/image_raw: carries sensor_msgs/msg/CompressedImage; subscribed to that"
    )
    graph.spin_until(publisher.get_subscription_count, what="the other subscription")
    message = CompressedImage(format="png", data=cv2.imencode(".png", PICTURE)[1].tobytes())
    publisher.publish(message)
    graph.spin_until(lambda: answers, what="the answer")
    assert answers[0].detections
    assert process.stop() == 0
    assert process.output.count("subscribed to that") == 1


@pytest.mark.dds
def test_frames_are_old_by_the_nodes_clock_which_may_jump_back(graph, make_node):
    clock = graph.node("clock").create_publisher(Clock, "/clock", RELIABLE)
    node = make_node(
        use_sim_time=True,
        max_age_s=0.5,
        image_topics=["/camera/image_raw"],
        diagnostics_period_s=0.1,
    )
    name = "detector: camera /camera/image_raw"
    diagnostics, camera = Diagnostics(graph), Camera(graph, "/camera/image_raw")

    def set_clock(seconds: int) -> None:
        clock.publish(Clock(clock=Time(sec=seconds)))
        graph.spin_until(
            lambda: node.get_clock().now().nanoseconds == seconds * SECOND, what="the time"
        )

    camera.wait_until_heard()
    graph.spin_until(clock.get_subscription_count, what="the node's subscription to /clock")
    set_clock(100)
    for in_time in (0, 99 * SECOND + SECOND // 2, 100 * SECOND, 999 * SECOND):
        camera.ask(in_time)
    too_old = camera.send(99 * SECOND)
    status = diagnostics.wait_for(name, dropped_too_old=1, answered=4)
    assert status.level == WARN
    assert "older than max_age_s" in status.message
    # Zero and what is ahead say nothing: of 0.5 s and 0 s the median is left.
    assert diagnostics.values(name)["latency p50 (ms)"] == "250.0"
    set_clock(10)
    diagnostics.wait_for(name, **{"latency_p50_(ms)": ""})
    camera.ask(10 * SECOND - SECOND // 8)
    diagnostics.wait_for(name, answered=5, **{"latency_p99_(ms)": "125.0"})
    assert too_old not in camera.answers
    assert graph.set_parameter("/detector", "max_age_s", 0.0).successful
    camera.ask(2 * SECOND)
    diagnostics.wait_for(name, answered=6, dropped_too_old=1)


@pytest.mark.dds
def test_diagnostics_tell_of_cameras_backend_and_machine_and_services_control_them(
    graph, make_node
):
    make_node(image_topics=["/camera/image_raw"], diagnostics_period_s=0.1)
    diagnostics, camera = Diagnostics(graph), Camera(graph, "/camera/image_raw")
    name = "detector: camera /camera/image_raw"
    camera.wait_until_heard()
    camera.ask(SECOND)
    status = diagnostics.wait_for(name, level=OK, received=1)
    assert status.hardware_id == "/camera/image_raw"
    assert set(diagnostics.statuses) == {name, "detector: backend", "detector: machine"}
    backend = diagnostics.wait_for("detector: backend", mean_batch_size="1.00")
    assert backend.level == OK
    assert diagnostics.values("detector: backend")["batched calls"] == "0 of 1"
    assert float(diagnostics.values("detector: backend")["file age (h)"]) > 0.0
    machine = diagnostics.statuses["detector: machine"]
    assert machine.hardware_id
    assert "memory available (MB)" in diagnostics.values("detector: machine")

    def enable(wanted: bool) -> SetBool.Response:
        return graph.call(SetBool, "/detector/enable", SetBool.Request(data=wanted))

    def enabled() -> bool:
        request = GetParameters.Request(names=["enabled"])
        return graph.call(GetParameters, "/detector/get_parameters", request).values[0].bool_value

    assert enable(False).success
    assert not enabled()
    camera.send(2 * SECOND)
    status = diagnostics.wait_for(name, dropped_disabled=1)
    assert "~/enable" in status.message
    assert enable(True).success
    assert enabled()
    camera.ask(3 * SECOND)
    assert 2 * SECOND not in camera.answers
    diagnostics.wait_for(name, received=3, answered=2, dropped_disabled=1)
    reset = graph.call(Trigger, "/detector/reset_statistics", Trigger.Request())
    assert reset.success
    assert reset.message == "1 cameras are counted anew"
    diagnostics.wait_for(name, received=0, answered=0, dropped_disabled=0)


@pytest.mark.dds
def test_frames_that_get_no_answer_are_told_by_their_reason(graph, make_node):
    broken: list[bool] = []

    def load(*arguments: Any) -> Any:
        if broken:
            raise BackendError("the file is corrupt")
        detector = load_detector(*arguments)
        start = detector.start_batch

        def start_or_fail(pictures: Any) -> None:
            if broken:
                raise BackendError("out of memory")
            start(pictures)

        detector.start_batch = start_or_fail
        return detector

    make_node(
        load,
        image_topics=["/camera/image_raw"],
        diagnostics_period_s=0.1,
        silence_warning_s=1.0,
    )
    diagnostics, camera = Diagnostics(graph), Camera(graph, "/camera/image_raw")
    name = "detector: camera /camera/image_raw"
    camera.wait_until_heard()
    camera.ask(SECOND)
    camera.send(2 * SECOND, encoding="32FC1")
    status = diagnostics.wait_for(name, dropped_bad_image=1)
    assert status.level == WARN
    assert "1 images could not be read: encoding '32FC1' is not supported" in status.message
    diagnostics.wait_for(name, level=OK)  # it is told once
    broken.append(True)
    camera.send(3 * SECOND)
    status = diagnostics.wait_for(name, dropped_failed_inference=1)
    assert status.level == ERROR
    assert "1 frames were not answered by any backend" in status.message
    assert "out of memory" in status.message or "the file is corrupt" in status.message
    diagnostics.wait_for("detector: backend", level=ERROR)
    stale = diagnostics.wait_for(name, level=DiagnosticStatus.STALE)
    assert "no image for 1 s: images came before" in stale.message


@pytest.mark.dds
def test_the_model_is_changed_by_name_while_frames_flow_and_none_is_lost(graph, model_folder):
    process = graph.start(
        DETECTOR,
        "--ros-args",
        *("-p", "image_topics:=[/camera/image_raw]", "-p", "backends:=[tflite]"),
        *("-p", f"model_folders:=[{model_folder}]", "-p", "image_qos.reliability:=reliable"),
        *("-p", "models:=[demo, capital-2, broken]", "-p", "image_qos.depth:=100"),
    )
    process.wait_for_output("detecting:")
    camera = Camera(graph, "/camera/image_raw")
    camera.wait_until_heard()
    asking = graph.node("controller")
    use = {
        name: asking.create_client(Trigger, f"/detector/use_model/{name}")
        for name in ("capital_2", "broken", "demo")
    }
    graph.spin_until(
        lambda: all(client.service_is_ready() for client in use.values()), what="the services"
    )
    sent: list[int] = []

    def stream(until: Callable[[], object], frames: int = 0) -> None:
        end = len(sent) + frames
        while not until() or len(sent) < end:
            assert len(sent) < 1000, process.output
            sent.append(camera.send((len(sent) + 1) * SECOND))
            deadline = time.monotonic() + 0.03
            while time.monotonic() < deadline:
                graph.executor.spin_once(timeout_sec=0.01)

    results = []
    for name in ("capital_2", "broken", "demo"):
        future = use[name].call_async(Trigger.Request())
        stream(future.done)
        stream(lambda: True, frames=10)
        results.append(future.result())
    graph.spin_until(lambda: len(camera.answers) == len(sent), what="all answers")
    assert list(camera.answers) == sent
    capital, broken, demo = results
    assert (capital.success, broken.success, demo.success) == (True, False, True)
    assert "answers from now on" in capital.message
    assert "model 'broken' is not taken" in broken.message
    assert "demo_fp32.tflite" in broken.message
    # In turn: as it began, in capitals, as it began; none is answered by both or in between.
    names = [
        {each.results[0].hypothesis.class_id for each in answer.detections}
        for answer in camera.answers.values()
    ]
    assert all(names)
    cases = [{name.isupper() for name in each} for each in names]
    assert all(len(case) == 1 for case in cases)
    turns = [case for index, case in enumerate(cases) if index == 0 or case != cases[index - 1]]
    assert turns == [{False}, {True}, {False}]
    published = [info.class_map[0].class_name for info in camera.labels]
    assert published == ["ball", "BALL", "ball"]
    # The parameter does the same, and paths are no names.
    result = graph.set_parameter("/detector", "model", "capital-2")
    assert result.successful, result.reason
    graph.spin_until(lambda: len(camera.labels) == 4, what="labels though no frame came")
    for name in (str(model_folder / "demo"), "../demo", "other"):
        result = graph.set_parameter("/detector", "model", name)
        assert not result.successful
        assert "is not one of demo, capital-2, broken (models)" in result.reason
    assert process.output.count("takes over from") == 3
    assert process.stop() == 0
    assert "Traceback" not in process.output


@pytest.mark.dds
def test_a_model_that_takes_long_to_load_holds_up_nothing_else(graph, make_node, model_folder):
    waits = {"seconds": 0.0}

    def slow(*arguments: Any) -> Any:
        time.sleep(waits["seconds"])
        return load_detector(*arguments)

    node = make_node(slow, model_folders=[str(model_folder)], score_threshold=0.25)
    waits["seconds"] = 1.0
    asking = graph.node("asking")
    done: list[str] = []

    def ask(name: str, service_type: Any, service: str, request: Any) -> Any:
        client = asking.create_client(service_type, f"/detector/{service}")
        graph.spin_until(client.service_is_ready, what=service)
        future = client.call_async(request)
        future.add_done_callback(lambda future: done.append(name))
        return future

    wanted = Parameter("model", value="capital-2").to_parameter_msg()
    change = ask(
        "model", SetParameters, "set_parameters", SetParameters.Request(parameters=[wanted])
    )
    other = Parameter("class_agnostic", value=True).to_parameter_msg()
    ask("other", SetParameters, "set_parameters", SetParameters.Request(parameters=[other]))
    ask("enable", SetBool, "enable", SetBool.Request(data=True))
    graph.spin_until(lambda: len(done) == 3, what="all answers")
    assert done[-1] == "model"
    assert change.result().results[0].successful
    assert node.config.model == "capital-2"
    assert node.config.class_agnostic
    # What the user had set stays, what was the old model's own is the new one's.
    assert node.config.score_threshold == 0.25
    # A class of the old model is none of the new one.
    assert graph.set_parameter("/detector", "classes", ["BALL"]).successful
    refused = graph.set_parameter("/detector", "model", "demo")
    assert "'BALL', which model 'demo' does not know" in refused.reason
    assert node.config.model == "capital-2"
    unknown = graph.set_parameter("/detector", "model", "nothing")
    assert "there is no model 'nothing'" in unknown.reason
    assert "capital-2, demo" in unknown.reason
    path = graph.set_parameter("/detector", "model", str(model_folder / "demo"))
    assert "is a path or empty" in path.reason


def wrong_value(specification: Any) -> Any:
    """Return a value of another type, or where every type is read, one that is not allowed."""
    item = specification.default
    if isinstance(item, bool):
        return "perhaps"
    if isinstance(item, (int, float)):
        return "many"
    return 5


@pytest.mark.dds
def test_every_parameter_that_is_refused_says_why(graph):
    node = DetectorNode(context=graph.context)
    try:
        for specification in specifications(DetectorConfig):
            wrong = Parameter(specification.name, value=wrong_value(specification))
            (result,) = node.set_parameters([wrong])
            assert not result.successful, specification.name
            assert len(result.reason) > 20, (specification.name, result.reason)
            if not specification.read_only:
                assert f"'{specification.name}'" in result.reason
        for name, value, reason in (
            ("classes", [""], ""),
            ("backends", ["tflite", "tflite"], "tflite"),
            ("max_age_s", -1.0, "Min: 0.0"),
            ("model", "/etc", "is a path"),
        ):
            (result,) = node.set_parameters([Parameter(name, value=value)])
            assert result.successful is not bool(reason), (name, result.reason)
            assert reason in result.reason
    finally:
        node.destroy_node()


@pytest.mark.dds
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("models", ["demo", "unicorn"], "parameter 'models': there is no model 'unicorn' in"),
        ("models", ["../demo"], "'../demo' is a path or empty"),
        (
            "image_topics",
            ["/a**/image_raw"],
            "parameter 'image_topics': '/a**/image_raw' has 'a**'",
        ),
    ],
)
def test_what_cannot_be_is_said_when_the_node_is_made(graph, name, value, reason):
    with pytest.raises(ParameterError) as refusal:
        DetectorNode(context=graph.context, parameter_overrides=[Parameter(name, value=value)])
    assert reason in str(refusal.value)


def test_a_models_name_becomes_a_part_of_a_services_name():
    assert service_names(["demo", "yolo-v8.n", "3d"]) == ("demo", "yolo_v8_n", "_3d")
    assert service_names([]) == ()


def test_two_models_that_would_share_a_service_are_refused():
    with pytest.raises(ValueError, match=r"'a-b' and 'a\.b', and both would be .*use_model/a_b"):
        service_names(["a-b", "a.b"])
