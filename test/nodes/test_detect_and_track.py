"""Detector and tracker together, in one process and in two, over the sequence of the demo bag."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.demo_bag import DemoBagConfig
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.conversion.tracked_detections import DetectionMessage
from jetson_detect.core.agreement import iou_matrix
from jetson_detect.core.scenes import Scene, SceneSequence

pytestmark = pytest.mark.dds

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ONE, DETECTOR, TRACKER = (
    f"jetson_detect.commands.{name}"
    for name in ("detect_and_track", "detector_node", "tracker_node")
)
DEMO = DemoBagConfig()
MAX_AGE_S = 1.0
"""The tracker's default."""
WEAK_TOO = ("-p", "score_threshold:=0.1")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """The pictures of the demo bag, and the truth about them."""
    sequence = SceneSequence(DEMO.seed, DEMO.width, DEMO.height)
    return [sequence.frame(number) for number in range(DEMO.frames)]


class Camera:
    """Shows one picture after the other, and waits for the tracks in each."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._to_message = ImageWriter()
        self._answers: dict[int, Detection2DArray] = {}
        self._shown = 0
        node = graph.node("camera")
        self._publisher = node.create_publisher(Image, "image_raw", QoSProfile(depth=5))
        node.create_subscription(Detection2DArray, "tracks", self._hear, QoSProfile(depth=50))

    def _hear(self, message: Detection2DArray) -> None:
        stamp = message.header.stamp
        self._answers[round((stamp.sec + stamp.nanosec * 1e-9) * DEMO.fps)] = message

    def show(self, picture: Any, timeout: float = 30.0) -> Detection2DArray:
        """Show a picture until it is answered: the first ones come before all know each other."""
        stamp = self._shown / DEMO.fps
        header = Header(stamp=Time(sec=int(stamp), nanosec=int(stamp % 1 * 1e9)), frame_id="eye")
        self._publisher.publish(self._to_message(picture, header))
        shown, self._shown = self._shown, self._shown + 1
        self._graph.spin_until(lambda: shown in self._answers, timeout, what=f"picture {shown}")
        return self._answers[shown]

    def wait_for_the_nodes(self) -> None:
        """Show black pictures until one is answered."""
        black = np.zeros((DEMO.height, DEMO.width, 3), np.uint8)
        for _ in range(100):
            try:
                self.show(black, timeout=0.3)
            except AssertionError:
                continue
            return
        raise AssertionError("no picture was answered")


def track(graph: Any, scenes: Sequence[Scene]) -> list[Detection2DArray]:
    camera = Camera(graph)
    camera.wait_for_the_nodes()
    return [camera.show(scene.image) for scene in scenes]


def start_one(graph: Any) -> list[Any]:
    return [graph.start(ONE, "--detector", *WEAK_TOO)]


def start_two(graph: Any) -> list[Any]:
    tracker = graph.start(TRACKER)
    return [tracker, graph.start(DETECTOR, "--ros-args", *WEAK_TOO)]


def appearances(scenes: Sequence[Scene]) -> list[list[int]]:
    """Numbers of what a tracker can know: an object that was away for long is another one."""
    last_seen: dict[int, int] = {}
    number_of: dict[int, int] = {}
    result = []
    for frame, scene in enumerate(scenes):
        for object_id in scene.object_ids.tolist():
            away = frame - last_seen.get(object_id, -(10**6))
            if away > MAX_AGE_S * DEMO.fps:
                number_of[object_id] = len(last_seen) + 1000 * frame
            last_seen[object_id] = frame
        result.append([number_of[each] for each in scene.object_ids.tolist()])
    return result


def idf1(scenes: Sequence[Scene], answers: Sequence[Detection2DArray]) -> float:
    """Identity F1 (Ristani et al., 2016) at an IoU of 0.5, as motmetrics counts it."""
    motmetrics = pytest.importorskip("motmetrics", reason="motmetrics is not installed")
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for scene, numbers, answer in zip(scenes, appearances(scenes), answers):
        boxes = DetectionMessage(answer).observations().boxes.astype(np.float32)
        distances = 1.0 - iou_matrix(scene.boxes, boxes)
        distances[distances > 0.5] = np.nan
        accumulator.update(numbers, [int(each.id) for each in answer.detections], distances)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=["idf1"], name="demo")
    return float(summary["idf1"].iloc[0])


@pytest.fixture(autouse=True)
def needs_the_library():
    pytest.importorskip("trackforge", reason="trackforge is not installed")


@pytest.mark.parametrize(
    ("start", "frames"), [(start_one, 200), (start_two, 90)], ids=["one process", "two processes"]
)
def test_objects_of_the_demo_keep_their_ids(graph, scenes, start, frames):
    processes = start(graph)
    scenes = scenes[:frames]
    answers = track(graph, scenes)
    assert idf1(scenes, answers) >= 0.9
    ids = {each.id for answer in answers for each in answer.detections}
    objects = {number for numbers in appearances(scenes) for number in numbers}
    # Some of them the detector takes for another class for a while.
    assert len(objects) <= len(ids) <= 2 * len(objects)
    with_signal = signal.SIGTERM if start is start_one else signal.SIGINT
    for process in processes:
        assert process.stop(with_signal) == 0
        assert "Traceback" not in process.output


def test_the_example_runs_with_a_camera_and_stops_cleanly(graph):
    path = [str(EXAMPLES), graph.environment.get("PYTHONPATH", "")]
    graph.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    graph.environment["PYTHONDONTWRITEBYTECODE"] = "1"  # what lies in that folder is installed
    camera = graph.start("jetson_detect.commands.scene_camera", "--ros-args", "-p", "rate:=15.0")
    example = graph.start("one_process")
    example.wait_for_output("[greeter]: a new ")
    assert camera.stop() == 0
    assert example.stop(signal.SIGINT) == 0
    assert "Traceback" not in example.output


def test_what_follows_a_node_is_for_that_node_alone(graph, tmp_path):
    params_file = tmp_path / "params.yaml"
    params_file.write_text("/**: {ros__parameters: {autostart: false, max_age_s: 3.5}}")
    process = graph.start(
        ONE,
        *("--tracker", "--params-file", params_file, "-r", "__node:=follower"),
        *("--detector", "-r", "__node:=eye", "-p", "autostart:=false"),
        *("--builder", "-p", "autostart:=false"),
        *("--ros-args", "-r", "__ns:=/front"),
    )
    for name in ("follower", "eye", "engine_builder"):
        process.wait_for_output(f"[front.{name}]: waiting to be configured")
    assert graph.set_parameter("/front/follower", "publish", "all").successful
    assert "there is no parameter" not in process.output
