"""Eight cameras and one detector that takes their frames together, over DDS."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.cdr import put_stamp
from jetson_detect.conversion.detections import from_detection_array
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.core.backends import open_backend
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import load_model
from jetson_detect.core.onnx_graphs.open_batch import open_batch
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

onnx = pytest.importorskip("onnx", reason="onnx, which opens the demo model's batch, is missing")
pytest.importorskip("onnxruntime", reason="ONNX Runtime, which runs it, is not installed")
pytestmark = pytest.mark.dds

DETECTOR = "jetson_detect.commands.detector_node"
MODEL = load_model(find_model("demo"))
CAMERAS = 8
RATE = 15.0
FRAMES = 24
"""Of each camera."""
SHOWN = 3
"""Pictures of each camera, in turn."""
SIZES = [(320, 240), (240, 180), (400, 200), (160, 160)]


def stamped(camera: int, index: int) -> tuple[int, int]:
    """Seconds and nanoseconds that tell camera and frame; none is zero."""
    return 1 + camera, 1 + index


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, whose ONNX file takes any number of pictures."""
    folder = tmp_path_factory.mktemp("model")
    for file in find_model("demo").iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    onnx.save(open_batch(onnx.load(folder / "demo.onnx")), str(folder / "demo.onnx"))
    return folder


class EightCameras:
    """Eight topics of one process, and what is answered to them."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.node = graph.node()
        self.diagnostics: dict[str, str] = {}
        self.answers: list[dict[int, Detection2DArray]] = [{} for _ in range(CAMERAS)]
        self.expected: list[list[Detections]] = []
        self._images: list[list[bytearray]] = []
        self._publishers = []
        selection = Selection.from_thresholds(MODEL.thresholds)
        with Detector(MODEL, open_backend(MODEL, "onnxruntime")) as detector:
            for camera in range(CAMERAS):
                width, height = SIZES[camera % len(SIZES)]
                scenes = SceneSequence(seed=50 + camera, width=width, height=height)
                shown = [scenes.frame(9 * index).image for index in range(SHOWN)]
                self.expected.append(
                    [detector.detect(Pixels.from_array(each), selection) for each in shown]
                )
                header = Header(frame_id=f"camera{camera}")
                self._images.append(
                    [bytearray(serialize_message(ImageWriter()(each, header))) for each in shown]
                )
                self._publishers.append(
                    self.node.create_publisher(Image, f"/c{camera}/image_raw", QoSProfile(depth=10))
                )
                self.node.create_subscription(
                    Detection2DArray,
                    f"/c{camera}/detections",
                    partial(self._keep, camera),
                    QoSProfile(depth=100),
                )
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._read_diagnostics, QoSProfile(depth=10)
        )

    def send(self, camera: int, index: int) -> None:
        image = self._images[camera][index % SHOWN]
        put_stamp(image, *stamped(camera, index))
        self._publishers[camera].publish(bytes(image))

    def wait_until_all_are_answered(self) -> None:
        """Send single frames until each camera has had an answer."""
        end = time.monotonic() + 20.0
        while not all(self.answers):
            assert time.monotonic() < end, self.graph.processes[-1].output
            for camera in range(CAMERAS):
                if not self.answers[camera]:
                    self.send(camera, 0)
            self._spin(lambda: all(self.answers), 0.2)

    def stream(self) -> None:
        """Have all cameras send at once, at a steady rate."""
        start = time.monotonic()
        for index in range(FRAMES):
            for camera in range(CAMERAS):
                self.send(camera, index)
            self._spin(lambda: False, start + (index + 1) / RATE - time.monotonic())
        self._spin(lambda: all(len(each) == FRAMES for each in self.answers), 2.0)

    def _spin(self, condition: Callable[[], object], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.graph.executor.spin_once(timeout_sec=0.002)

    def _keep(self, camera: int, message: Detection2DArray) -> None:
        stamp = message.header.stamp
        assert (stamp.sec, message.header.frame_id) == (1 + camera, f"camera{camera}")
        index = stamp.nanosec - 1
        assert index == 0 or index not in self.answers[camera], "answered twice"
        self.answers[camera][index] = message

    def _read_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics.update((each.key, each.value) for each in status.values)


def test_eight_cameras_share_inferences_and_each_gets_its_own_answers(graph, model):
    process = graph.start(
        DETECTOR,
        "--ros-args",
        *("-p", f"model:={model}", "-p", "require:=onnxruntime"),
        *("-p", f"image_topics:=[{', '.join(f'/c{index}/image_raw' for index in range(CAMERAS))}]"),
        *("-p", "batching.on_cpu:=true", "-p", "batching.max_size:=4"),
        *("-p", "diagnostics_period_s:=0.2"),
    )
    cameras = EightCameras(graph)
    process.wait_for_output(f"detecting: /c{CAMERAS - 1}/image_raw")
    cameras.wait_until_all_are_answered()
    cameras.stream()
    counts = [len(answers) for answers in cameras.answers]
    assert min(counts) > FRAMES / 2
    # One frame of each may have been on its way when the stream began or ended.
    assert max(counts) - 1 <= 1.05 * min(counts)
    for answers, expected in zip(cameras.answers, cameras.expected):
        for index, message in answers.items():
            found, wanted = from_detection_array(message, MODEL.labels), expected[index % SHOWN]
            np.testing.assert_array_equal(found.best_class_ids, wanted.best_class_ids)
            np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.01)
            np.testing.assert_allclose(found.best_scores, wanted.best_scores, atol=1e-4)
    graph.spin_until(lambda: "batched calls" in cameras.diagnostics, what="the batches' numbers")
    batched, _, calls = cameras.diagnostics["batched calls"].partition(" of ")
    assert 0 < int(batched) <= int(calls)
    assert 1.0 < float(cameras.diagnostics["mean batch size"]) <= 4.0
