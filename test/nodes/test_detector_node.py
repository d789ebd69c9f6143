from __future__ import annotations

import array
import shutil
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.conversion.detections import from_detection_array
from jetson_detect.core.backends import open_backend
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.middleware import frame_receiver
from jetson_detect.middleware.rcl_library import RclUnavailableError
from jetson_detect.nodes.detector_node import DetectorNode
from jetson_detect.nodes.entry import StartError
from jetson_detect.share import find_model

pytestmark = pytest.mark.dds

DETECTOR = "jetson_detect.commands.detector_node"
BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
LATCHED = QoSProfile(
    depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)
SCENES = SceneSequence(seed=5, width=640, height=480)


def scene_with_objects(minimum: int = 3) -> Any:
    for index in range(200):
        scene = SCENES.frame(index)
        if len(scene.boxes) >= minimum:
            return scene
    raise AssertionError("no scene has enough objects")


SCENE = scene_with_objects()
EMPTY = np.full((480, 640, 3), 128, np.uint8)


def image_message(pixels: np.ndarray, stamp: int, frame_id: str = "camera") -> Image:
    height, width = pixels.shape[:2]
    message = Image(height=height, width=width, step=width * 3, encoding="bgr8")
    message.header = Header(stamp=Time(sec=stamp, nanosec=stamp + 5), frame_id=frame_id)
    message.data = array.array("B", pixels.tobytes())
    return message


class Camera:
    """Publishes pictures and collects the answers."""

    def __init__(
        self, graph: Any, topic: str, reliability: ReliabilityPolicy = BEST_EFFORT
    ) -> None:
        self.graph = graph
        self.node = graph.node(f"camera_{time.monotonic_ns()}")
        self.publisher = self.node.create_publisher(
            Image, topic, QoSProfile(depth=5, reliability=reliability)
        )
        self.answers: dict[int, Detection2DArray] = {}
        answers_topic = topic.rpartition("/")[0] + "/detections"
        self.node.create_subscription(
            Detection2DArray, answers_topic, self._keep, QoSProfile(depth=50)
        )
        self._stamp = 0

    def _keep(self, message: Detection2DArray) -> None:
        self.answers[message.header.stamp.sec] = message

    def send(self, pixels: np.ndarray, **changes: Any) -> int:
        self._stamp += 1
        message = image_message(pixels, self._stamp)
        for name, value in changes.items():
            setattr(message, name, value)
        self.publisher.publish(message)
        return self._stamp

    def ask(self, pixels: np.ndarray, timeout: float = 20.0) -> Detection2DArray:
        """Send a picture and return its answer; only the very first may have to be sent again.

        The first best-effort frame can be lost while the two sides discover each other.
        """
        deadline = time.monotonic() + timeout
        sent = [self.send(pixels)]
        first = not self.answers

        def answered() -> bool:
            return any(stamp in self.answers for stamp in sent)

        while not answered():
            if time.monotonic() > deadline:
                raise AssertionError(f"no answer; output:\n{self.graph.processes[-1].output}")
            until = min(deadline, time.monotonic() + (0.5 if first else timeout))
            while not answered() and time.monotonic() < until:
                self.graph.executor.spin_once(timeout_sec=0.05)
            if first and not answered():
                sent.append(self.send(pixels))
        return next(self.answers[stamp] for stamp in sent if stamp in self.answers)

    def close(self) -> None:
        self.graph.executor.remove_node(self.node)
        self.node.destroy_node()


def get_parameter(graph: Any, name: str) -> Any:
    request = GetParameters.Request(names=[name])
    return graph.call(GetParameters, "/detector/get_parameters", request).values[0]


@pytest.fixture(scope="module")
def detector(shared_graph: Any) -> Any:
    """One detector process for the tests that leave it as they found it."""
    process = shared_graph.start(
        DETECTOR, "--ros-args", "-p", "image_topics:=[/front/image_raw, /rear/image_raw]"
    )
    process.wait_for_output("detecting: /rear/image_raw -> /rear/detections")
    return shared_graph


@pytest.fixture
def camera(detector: Any) -> Iterator[Camera]:
    camera = Camera(detector, "/front/image_raw")
    camera.ask(EMPTY)
    yield camera
    camera.close()


@pytest.fixture(scope="module")
def expected() -> Any:
    """What the core alone finds in the scene."""
    model = load_model(find_model("demo"))
    with Detector(model, open_backend(model, "tflite")) as detector:
        return detector.detect(
            Pixels.from_array(SCENE.image), Selection.from_thresholds(model.thresholds)
        )


@pytest.mark.parametrize("reliability", [BEST_EFFORT, RELIABLE])
def test_images_of_reliable_and_best_effort_cameras_are_answered_alike(
    detector, expected, reliability
):
    camera = Camera(detector, "/front/image_raw", reliability)
    answer = camera.ask(SCENE.image)
    camera.close()
    found = from_detection_array(answer, load_model(find_model("demo")).labels)
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.best_scores, expected.best_scores, atol=1e-6)
    np.testing.assert_array_equal(found.best_class_ids, expected.best_class_ids)


def test_what_takes_images_and_what_writes_answers_changes_no_answer(graph, detector):
    process = graph.start(
        DETECTOR,
        "--ros-args",
        *("-p", "image_topics:=[/front/image_raw]"),
        *("-p", "transport.receive:=raw", "-p", "transport.publish:=typed"),
    )
    process.wait_for_output("detecting: /front/image_raw")
    quick, plain = Camera(detector, "/front/image_raw"), Camera(graph, "/front/image_raw")
    for image in (SCENE.image, EMPTY):
        ours, theirs = quick.ask(image), plain.ask(image)
        assert ours.detections or image is EMPTY
        ours.header.stamp = theirs.header.stamp = Time()
        for detection in (*ours.detections, *theirs.detections):
            detection.header.stamp = Time()
        assert ours == theirs
    quick.close()


def test_the_header_is_the_images_in_the_array_and_in_each_detection(camera):
    stamp = camera.send(SCENE.image)
    camera.graph.spin_until(lambda: stamp in camera.answers, what="the answer")
    answer = camera.answers[stamp]
    wanted = Header(stamp=Time(sec=stamp, nanosec=stamp + 5), frame_id="camera")
    assert answer.header == wanted
    assert answer.detections
    assert all(detection.header == wanted for detection in answer.detections)
    assert all(detection.id == "" for detection in answer.detections)


def test_boxes_lie_inside_the_source_image(camera):
    for detection in camera.ask(SCENE.image).detections:
        box = detection.bbox
        assert box.size_x > 0
        assert box.size_y > 0
        assert box.center.position.x - box.size_x / 2 >= -1e-3
        assert box.center.position.x + box.size_x / 2 <= 640 + 1e-3
        assert box.center.position.y - box.size_y / 2 >= -1e-3
        assert box.center.position.y + box.size_y / 2 <= 480 + 1e-3
        assert box.center.theta == 0.0


def test_a_frame_without_objects_gets_an_empty_answer(camera):
    assert camera.ask(EMPTY).detections == []


def test_frames_that_cannot_be_read_cost_themselves_and_one_line(camera):
    process = camera.graph.processes[-1]
    camera.send(SCENE.image, encoding="32FC1")
    process.wait_for_output("frame left out (1 so far): encoding '32FC1' is not supported")
    camera.send(SCENE.image, step=7)
    camera.send(SCENE.image, data=array.array("B", b"123"))
    camera.send(SCENE.image, width=0)
    assert camera.ask(SCENE.image).detections
    assert process.output.count("frame left out") == 1


def test_each_camera_is_answered_beside_its_images(detector, camera):
    rear = Camera(detector, "/rear/image_raw")
    assert rear.ask(SCENE.image).detections
    assert camera.ask(EMPTY).detections == []
    rear.close()


def test_a_late_subscriber_gets_the_labels_and_the_threshold(detector):
    received: list[LabelInfo] = []
    node = detector.node("late")
    node.create_subscription(LabelInfo, "/front/label_info", received.append, LATCHED)
    detector.spin_until(lambda: received, what="label_info")
    model = load_model(find_model("demo"))
    assert [(entry.class_id, entry.class_name) for entry in received[0].class_map] == list(
        enumerate(model.labels)
    )
    assert received[0].threshold == pytest.approx(model.thresholds.score)
    assert detector.set_parameter("/detector", "score_threshold", 0.75).successful
    detector.spin_until(lambda: len(received) > 1, what="label_info again")
    assert received[1].threshold == pytest.approx(0.75)
    assert detector.set_parameter("/detector", "score_threshold", -1.0).successful
    detector.spin_until(lambda: len(received) > 2, what="the model's own threshold")
    assert received[2].threshold == pytest.approx(model.thresholds.score)


def test_the_thresholds_in_force_can_be_read(detector):
    detector_thresholds = load_model(find_model("demo")).thresholds
    shown = get_parameter(detector, "iou_threshold").double_value
    assert shown == pytest.approx(detector_thresholds.iou)
    assert get_parameter(detector, "max_detections").integer_value == 100


def test_the_score_threshold_changes_live(detector, camera):
    scores = [d.results[0].hypothesis.score for d in camera.ask(SCENE.image).detections]
    middle = (max(scores) + min(scores)) / 2
    assert detector.set_parameter("/detector", "score_threshold", middle).successful
    kept = [d.results[0].hypothesis.score for d in camera.ask(SCENE.image).detections]
    assert kept == [score for score in scores if score >= middle]
    assert detector.set_parameter("/detector", "score_threshold", -1.0).successful


def test_the_class_filter_changes_live(detector, camera):
    names = {d.results[0].hypothesis.class_id for d in camera.ask(SCENE.image).detections}
    wanted = sorted(names)[0]
    assert detector.set_parameter("/detector", "classes", [wanted]).successful
    kept = {d.results[0].hypothesis.class_id for d in camera.ask(SCENE.image).detections}
    assert kept == {wanted}
    assert detector.set_parameter("/detector", "classes", [""]).successful
    assert {d.results[0].hypothesis.class_id for d in camera.ask(SCENE.image).detections} == names


def test_an_unknown_class_is_refused_with_the_labels(detector):
    result = detector.set_parameter("/detector", "classes", ["ball", "unicorn"])
    assert not result.successful
    assert "'unicorn'" in result.reason
    assert "ball, box, cone" in result.reason


def test_the_number_of_detections_changes_live(detector, camera):
    assert detector.set_parameter("/detector", "max_detections", 1).successful
    assert len(camera.ask(SCENE.image).detections) == 1
    assert detector.set_parameter("/detector", "max_detections", 0).successful
    assert len(camera.ask(SCENE.image).detections) > 1


def test_class_ids_are_labels_or_indices_as_the_parameter_says(detector, camera):
    labels = load_model(find_model("demo")).labels
    names = [d.results[0].hypothesis.class_id for d in camera.ask(SCENE.image).detections]
    assert detector.set_parameter("/detector", "class_id_format", "index").successful
    indices = [d.results[0].hypothesis.class_id for d in camera.ask(SCENE.image).detections]
    assert indices == [str(labels.index(name)) for name in names]
    assert detector.set_parameter("/detector", "class_id_format", "label").successful


def test_a_disabled_detector_answers_nothing_until_it_is_enabled_again(detector, camera):
    assert detector.set_parameter("/detector", "enabled", False).successful
    unanswered = camera.send(SCENE.image)
    assert detector.set_parameter("/detector", "enabled", True).successful
    assert camera.ask(SCENE.image).detections
    assert unanswered not in camera.answers


@pytest.mark.parametrize(
    ("name", "value"),
    [("models", ["other"]), ("image_topics", ["/x"]), ("image_qos.depth", 7), ("threads", 3)],
)
def test_what_cannot_change_live_is_refused_and_declared_read_only(detector, name, value):
    result = detector.set_parameter("/detector", name, value)
    assert not result.successful
    assert "read-only" in result.reason.lower()
    request = DescribeParameters.Request(names=[name])
    described = detector.call(DescribeParameters, "/detector/describe_parameters", request)
    assert described.descriptors[0].read_only
    assert "restart" in described.descriptors[0].description


def test_a_value_out_of_range_is_refused_with_the_range(detector):
    result = detector.set_parameter("/detector", "score_threshold", 1.5)
    assert not result.successful
    assert "Min: -1.0, Max: 1.0" in result.reason


def test_the_debug_image_is_painted_while_somebody_looks(detector, camera):
    received: list[Image] = []
    node = detector.node("viewer")
    subscription = node.create_subscription(
        Image, "/front/debug_image", received.append, QoSProfile(depth=1)
    )
    detector.spin_until(
        lambda: node.count_publishers("/front/debug_image"), what="the debug image's publisher"
    )
    # Not of a frame from before, which may be painted just now.
    asked: list[Time] = []
    painted = None
    deadline = time.monotonic() + 20
    while painted is None and time.monotonic() < deadline:
        asked.append(camera.ask(SCENE.image).header.stamp)
        painted = next((each for each in received if each.header.stamp in asked), None)
    assert painted is not None
    node.destroy_subscription(subscription)
    assert (painted.width, painted.height, painted.encoding) == (640, 480, "bgr8")
    assert painted.header.frame_id == "camera"
    pixels = np.frombuffer(painted.data, np.uint8).reshape(480, 640, 3)
    assert 0 < (pixels != SCENE.image).any(axis=2).mean() < 0.5


def test_a_detector_that_is_stopped_leaves_nothing_in_shared_memory(graph):
    # More than once: what it is just about to do when it is told to stop is left to chance.
    for _ in range(5):
        process = graph.start(DETECTOR)
        process.wait_for_output("detecting:")
        segments = process.segments()
        assert segments
        assert process.stop() == 0
        # The port of multicast discovery is shared by all processes of the domain.
        assert not [path for path in segments if path.exists() and "port" not in path.name]


def test_a_killed_detector_is_replaced_between_two_frames(graph):
    first = graph.start(DETECTOR, "--ros-args", "-p", "image_topics:=[/camera/image_raw]")
    camera = Camera(graph, "/camera/image_raw", RELIABLE)
    first.wait_for_output("detecting:")
    before = camera.ask(SCENE.image)
    first.kill()
    second = graph.start(DETECTOR, "--ros-args", "-p", "image_topics:=[/camera/image_raw]")
    second.wait_for_output("detecting:")
    camera.answers.clear()
    after = camera.ask(SCENE.image)
    assert len(after.detections) == len(before.detections) > 0
    for index in range(10):
        assert camera.ask(SCENE.image if index % 2 else EMPTY)
    assert second.stop() == 0


def test_the_life_cycle_can_be_driven_from_outside(graph):
    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return graph.call(ChangeState, "/detector/change_state", request).success

    def state() -> int:
        return graph.call(GetState, "/detector/get_state", GetState.Request()).current_state.id

    process = graph.start(
        DETECTOR, "--ros-args", "-p", "autostart:=false", "-p", "image_topics:=[/camera/image_raw]"
    )
    process.wait_for_output("autostart is false")
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    camera = Camera(graph, "/camera/image_raw")
    for _ in range(2):
        assert change(Transition.TRANSITION_CONFIGURE)
        assert camera.publisher.get_subscription_count() == 0
        assert change(Transition.TRANSITION_ACTIVATE)
        assert state() == State.PRIMARY_STATE_ACTIVE
        camera.answers.clear()
        assert camera.ask(SCENE.image).detections
        assert change(Transition.TRANSITION_DEACTIVATE)
        graph.spin_until(
            lambda: camera.publisher.get_subscription_count() == 0, what="no subscription"
        )
        assert change(Transition.TRANSITION_CLEANUP)
        assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert "0 bad" in process.output
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output


def test_a_model_that_does_not_exist_ends_the_process_with_its_name(graph):
    process = graph.start(DETECTOR, "--ros-args", "-p", "model:=/nowhere/model")
    assert process.wait() == 1
    assert "/nowhere/model/model.yaml: cannot be read" in process.output
    assert "Traceback" not in process.output


def test_a_head_that_is_left_to_the_node_is_proposed_in_the_log(graph, tmp_path):
    demo = find_model("demo")
    shutil.copy(demo / "demo_fp32.tflite", tmp_path)
    text = (demo / "model.yaml").read_text()
    before, _, after = text.partition("head:\n")
    labels = after[after.index("labels:") :]
    (tmp_path / "model.yaml").write_text(f"{before}head: {{type: auto}}\n\n{labels}")
    process = graph.start(DETECTOR, "--ros-args", "-p", f"model:={tmp_path}")
    process.wait_for_output("detecting:")
    (line,) = (line for line in process.lines if "head proposed" in line)
    assert "type: centernet" in line
    assert f"put this into {tmp_path / 'model.yaml'}" in line


def test_a_parameter_with_an_impossible_value_ends_the_process_with_its_name(graph):
    process = graph.start(DETECTOR, "--ros-args", "-p", "score_threshold:=2.0")
    assert process.wait() == 1
    assert "parameter 'score_threshold' must be a number from -1 to 1, not 2.0" in process.output
    assert "Traceback" not in process.output


def test_ros_arguments_that_are_wrong_end_the_process_without_a_traceback(graph):
    process = graph.start(DETECTOR, "--ros-args", "--log-level", "loud")
    assert process.wait() == 1
    assert "error: " in process.output
    assert "Traceback" not in process.output


def test_the_process_gives_its_images_enough_shared_memory_by_itself(graph):
    for name in [name for name in graph.environment if name.endswith("_DEFAULT_PROFILES_FILE")]:
        del graph.environment[name]
    process = graph.start(DETECTOR)
    process.wait_for_output("detecting:")
    assert max(path.stat().st_size for path in process.segments()) > 64 << 20


def test_a_way_to_receive_images_that_is_not_there_is_said_without_a_traceback(
    graph, monkeypatch, capfd
):
    def unavailable():
        raise RclUnavailableError("librcl lacks a function: rcl_take")

    monkeypatch.setattr(frame_receiver, "load_rcl", unavailable)
    wanted = [Parameter("transport.receive", value="rcl")]
    node = DetectorNode(context=graph.context, parameter_overrides=wanted)
    try:
        with pytest.raises(StartError):
            node.start()
    finally:
        node.destroy_node()
    output = capfd.readouterr().err
    assert (
        "on_activate: frames cannot be received in mode 'rcl' (librcl lacks a function: rcl_take); "
        "use 'auto' or 'raw'"
    ) in output
    assert "Traceback" not in output


def test_two_cameras_that_would_share_their_answers_are_refused(graph):
    topics = "image_topics:=[/camera/left, /camera/right]"
    process = graph.start(DETECTOR, "--ros-args", "-p", topics)
    assert process.wait() == 1
    assert "/camera/left and /camera/right would share the topic /camera/detections" in (
        process.output
    )


def test_a_camera_of_another_type_or_quality_is_told_apart_from_a_silent_one(graph):
    node = graph.node()
    node.create_publisher(PointCloud2, "/a/image_raw", 1)
    node.create_publisher(Image, "/b/image_raw", QoSProfile(depth=1, reliability=BEST_EFFORT))
    process = graph.start(
        DETECTOR,
        "--ros-args",
        *("-p", "image_topics:=[/a/image_raw, /b/image_raw, /c/image_raw]"),
        *("-p", "image_qos.reliability:=reliable", "-p", "silence_warning_s:=1.0"),
    )
    process.wait_for_output("/a/image_raw: 1 publisher(s), but no image for")
    process.wait_for_output("it publishes sensor_msgs/msg/PointCloud2, not sensor_msgs/msg/Image")
    process.wait_for_output("sends best effort: set image_qos.reliability to best_effort")
    process.wait_for_output("/c/image_raw: no publisher yet")


def test_a_matched_but_silent_camera_is_told_about_shared_memory(graph):
    graph.node().create_publisher(Image, "/camera/image_raw", 1)
    process = graph.start(
        DETECTOR,
        "--ros-args",
        *("-p", "image_topics:=[/camera/image_raw]", "-p", "silence_warning_s:=1.0"),
    )
    process.wait_for_output("larger than the middleware's shared memory")
    process.wait_for_output("fastdds_shared_memory.xml")


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_the_process_stops_cleanly_at_any_moment_of_its_start(graph, stop_signal):
    start = time.monotonic()
    whole = graph.start(DETECTOR)
    whole.wait_for_output("detecting:")
    duration = time.monotonic() - start
    assert whole.stop(stop_signal) == 0
    # The first fifth belongs to the interpreter, which ends by the signal's default.
    for fraction in (0.2, 0.4, 0.6, 0.8, 1.0):
        process = graph.start(DETECTOR)
        time.sleep(fraction * duration)  # a moment of the start is what is tested
        status = process.stop(stop_signal)
        assert status in (0, -stop_signal), process.output
        assert "Traceback" not in process.output
