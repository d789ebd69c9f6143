"""The camera without a camera."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from jetson_detect.core.scenes import CLASS_NAMES, SceneSequence
from jetson_detect.nodes.scene_camera_node import (
    SceneCameraConfig,
    check_size,
)

CAMERA = "jetson_detect.commands.scene_camera"


def test_scenes_too_small_to_draw_are_refused() -> None:
    with pytest.raises(ValueError, match="'width' must be 0 or from 32 on for drawn scenes, not 5"):
        check_size(SceneCameraConfig(width=5))
    check_size(SceneCameraConfig(width=5, source="/some/folder"))


class Listener:
    """Collects what a camera publishes."""

    def __init__(
        self, graph: Any, reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE
    ) -> None:
        self.images: list[Image] = []
        self.truths: list[Detection2DArray] = []
        self.node = graph.node("listener")
        qos = QoSProfile(depth=50, reliability=reliability)
        self.node.create_subscription(Image, "/camera/image_raw", self.images.append, qos)
        self.node.create_subscription(
            Detection2DArray, "/camera/ground_truth", self.truths.append, qos
        )


def stamp_of(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def start_camera(graph: Any, *parameters: str) -> Any:
    assignments = [word for each in parameters for word in ("-p", each)]
    return graph.start(CAMERA, "--ros-args", "-r", "__ns:=/camera", *assignments)


@pytest.mark.dds
def test_the_node_ends_by_itself_after_the_frames_asked_for(graph: Any) -> None:
    process = start_camera(graph, "frames:=5", "rate:=100.0", "width:=64")
    assert process.wait() == 0
    assert "published 5 images, that was all" in process.output
    assert "Traceback" not in process.output


@pytest.mark.dds
def test_each_image_has_its_ground_truth_beside_it(graph: Any) -> None:
    listener = Listener(graph)
    process = start_camera(graph, "rate:=50.0", "seed:=3", "width:=160", "frame_id:=eye")
    graph.spin_until(
        lambda: (
            min(len(listener.images), len(listener.truths)) > 15
            and listener.truths[-1].header == listener.images[-1].header
        ),
        what="images and their truth",
    )
    assert process.stop() == 0
    truth_of = {str(each.header.stamp): each for each in listener.truths}
    # The first ones may have gone out before both subscriptions were known to the camera.
    first = max(stamp_of(listener.images[0]), stamp_of(listener.truths[0]))
    images = [each for each in listener.images if stamp_of(each) >= first]
    assert len(images) > 10
    scenes = map(SceneSequence(3, 160, 120).frame, range(2000))
    stamps = []
    for image in images:
        assert (image.encoding, image.width, image.height) == ("bgr8", 160, 120)
        assert image.header.frame_id == "eye"
        stamps.append(stamp_of(image))
        scene = next(each for each in scenes if each.image.tobytes() == bytes(image.data))
        truth = truth_of[str(image.header.stamp)]
        assert truth.header == image.header
        assert [each.id for each in truth.detections] == [str(one) for one in scene.object_ids]
        for detection, class_id, box in zip(truth.detections, scene.class_ids, scene.boxes):
            (result,) = detection.results
            assert result.hypothesis.class_id == CLASS_NAMES[class_id]
            assert result.hypothesis.score == 1.0
            assert detection.bbox.size_x == pytest.approx(box[2] - box[0])
            assert detection.bbox.center.position.y == pytest.approx((box[1] + box[3]) / 2)
    assert stamps == sorted(set(stamps))


@pytest.mark.dds
def test_images_of_a_folder_have_no_ground_truth_and_reach_best_effort_subscribers(
    graph: Any, tmp_path: Path
) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.full((1080, 1920, 3), 10, np.uint8))
    listener = Listener(graph, ReliabilityPolicy.BEST_EFFORT)
    process = start_camera(graph, f"source:={tmp_path}", "reliability:=best_effort", "rate:=100")
    graph.spin_until(lambda: len(listener.images) >= 5, what="images")
    assert (listener.images[0].width, listener.images[0].height) == (1920, 1080)
    assert listener.node.count_publishers("/camera/ground_truth") == 0
    assert listener.node.count_publishers("/camera/image_raw") == 1
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output


@pytest.mark.dds
def test_the_rate_changes_live_and_the_source_does_not(graph: Any) -> None:
    listener = Listener(graph)
    process = start_camera(graph, "rate:=0.1", "width:=64")
    client = AsyncParameterClient(listener.node, "/camera/scene_camera")
    graph.spin_until(client.services_are_ready, what="the parameter services")
    future = client.set_parameters(
        [Parameter("rate", value=200.0), Parameter("source", value="/elsewhere")]
    )
    graph.spin_until(future.done, what="the answer")
    rate, source = future.result().results
    assert rate.successful
    assert not source.successful
    assert "read-only" in source.reason
    # At a tenth of an image per second these would take a minute and a half.
    graph.spin_until(lambda: len(listener.images) >= 10, timeout=20, what="images")
    assert process.stop(signal.SIGINT) == 0
    assert "Traceback" not in process.output


@pytest.mark.dds
@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (
            "source:=/nowhere",
            "error: parameter 'source' ('scenes' are drawn): /nowhere does not exist; give an",
        ),
        ("rate:=-1.0", "error: parameter 'rate' must be a number from 0.1 to 1000, not -1.0"),
    ],
)
def test_a_camera_that_cannot_start_says_why_and_fails(
    graph: Any, parameter: str, message: str
) -> None:
    process = start_camera(graph, parameter)
    assert process.wait() == 1
    assert message in process.output
    assert "Traceback" not in process.output


@pytest.mark.dds
def test_a_folder_of_unreadable_files_ends_the_node_with_an_error(
    graph: Any, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    process = start_camera(graph, f"source:={tmp_path}")
    assert process.wait() == 1
    assert "bad.png cannot be read and is skipped" in process.output
    assert "error: parameter 'source': none of 1 file(s) can be read" in process.output
    assert "Traceback" not in process.output
