"""Compressed, turned and partly seen images through a whole detector."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.core.scenes import SceneSequence
from jetson_detect.nodes.detector_node import DetectorNode
from jetson_detect.nodes.parameters import ParameterError

RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
WIDTH, HEIGHT = 1280, 960


def picture() -> np.ndarray:
    scenes = SceneSequence(seed=5, width=WIDTH, height=HEIGHT)
    return next(scene.image for scene in map(scenes.frame, range(200)) if len(scene.boxes) >= 4)


PICTURE = picture()


class Camera:
    """Publishes pictures and collects the answers by stamp."""

    def __init__(self, graph: Any, name: str, message_type: type) -> None:
        self.graph, self.name, self.message_type = graph, name, message_type
        self.node = graph.node(f"camera_{name}")
        suffix = "/compressed" if message_type is CompressedImage else ""
        self.publisher = self.node.create_publisher(
            message_type, f"/{name}/image_raw{suffix}", RELIABLE
        )
        self.answers: dict[int, Any] = {}
        self.pictures: list[Image] = []
        self.node.create_subscription(Detection2DArray, f"/{name}/detections", self._keep, RELIABLE)
        self._stamp = 0

    def _keep(self, message: Detection2DArray) -> None:
        self.answers[message.header.stamp.sec] = message

    def look_at_debug_images(self) -> None:
        self.node.create_subscription(
            Image, f"/{self.name}/debug_image", self.pictures.append, QoSProfile(depth=1)
        )

    def also_listen_to(self, topic: str) -> list[Detection2DArray]:
        messages: list[Detection2DArray] = []
        subscription = self.node.create_subscription(
            Detection2DArray, topic, messages.append, RELIABLE
        )
        self.graph.spin_until(
            lambda: self.node.count_publishers(subscription.topic_name), what=topic
        )
        return messages

    def send(self, image: np.ndarray, **changes: Any) -> int:
        self._stamp += 1
        if self.message_type is CompressedImage:
            data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 98))[1].tobytes()
            message = CompressedImage(format="bgr8; jpeg compressed bgr8")
        else:
            height, width = image.shape[:2]
            message = Image(height=height, width=width, step=width * 3, encoding="bgr8")
            data = image.tobytes()
        message.data = array.array("B", data)
        message.header = Header(stamp=Time(sec=self._stamp), frame_id=self.name)
        for name, value in changes.items():
            setattr(message, name, value)
        self.publisher.publish(message)
        return self._stamp

    def ask(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the box of the best object of each class."""
        self.graph.spin_until(self.publisher.get_subscription_count, what="the detector")
        stamp = self.send(np.ascontiguousarray(image))
        self.graph.spin_until(lambda: stamp in self.answers, what=f"the answer to {self.name}")
        message = self.answers[stamp]
        boxes: dict[str, np.ndarray] = {}
        for detection in message.detections:
            center, box = detection.bbox.center.position, detection.bbox
            half = np.array([box.size_x, box.size_y]) / 2
            low = np.array([center.x, center.y]) - half
            label = detection.results[0].hypothesis.class_id
            boxes.setdefault(label, np.array([*low, *(low + 2 * half)]))
        return boxes


@pytest.fixture
def detector(graph: Any) -> Iterator[DetectorNode]:
    given = {
        "backends": ["tflite"],
        "engine_cache": "off",
        "image_topics": [
            "/plain/image_raw",
            "/turned/image_raw/compressed",
            "/part/image_raw",
            "/part/image_raw",
        ],
        "output_namespaces": ["/plain", "/turned", "/part", "/part/left"],
        "view.regions": ["", "", f"{WIDTH // 2},0,9999,9999", f"0,0,{WIDTH // 2},{HEIGHT}"],
        "view.rotations": [0, 90, 0, 0],
    }
    node = DetectorNode(
        context=graph.context,
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
    )
    graph.executor.add_node(node)
    node.start()
    yield node
    graph.executor.remove_node(node)
    node.destroy_node()


def assert_alike(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for label, box in expected.items():
        np.testing.assert_allclose(found[label], box, atol=12, err_msg=label)


def test_boxes_are_in_pixels_of_the_published_image_however_it_is_looked_at(graph, detector):
    plain = Camera(graph, "plain", Image)
    turned = Camera(graph, "turned", CompressedImage)
    part = Camera(graph, "part", Image)
    turned.look_at_debug_images()
    expected = plain.ask(PICTURE)
    assert len(expected) >= 2

    # A camera that is rolled clockwise sees the scene turned the other way.
    on_its_side = np.rot90(PICTURE, 1)
    seen_turned = turned.ask(on_its_side)
    # Upright x was measured from below, upright y from the left.
    assert_alike(
        seen_turned,
        {
            label: np.array([box[1], WIDTH - box[2], box[3], WIDTH - box[0]])
            for label, box in expected.items()
        },
    )
    # Its JPEG was decoded as small as the network allows, and that is what is painted on.
    graph.spin_until(
        lambda: turned.pictures or turned.ask(on_its_side) is None, what="a debug image"
    )
    assert (turned.pictures[0].width, turned.pictures[0].height) == (HEIGHT // 8, WIDTH // 8)

    # Two parts of one image, each answered in a namespace of its own.
    left = part.also_listen_to("/part/left/detections")
    in_part = part.ask(PICTURE)
    assert in_part
    assert all(box[0] >= WIDTH // 2 for box in in_part.values())
    graph.spin_until(lambda: left or not part.ask(PICTURE), what="the answer to the left half")
    assert left[-1].detections
    assert all(
        each.bbox.center.position.x + each.bbox.size_x / 2 <= WIDTH // 2
        for each in left[-1].detections
    )

    # What is no picture costs its frame, and nothing else.
    turned.send(PICTURE, data=array.array("B", b"\xff\xd8 no picture"))
    turned.send(PICTURE, format="16UC1; compressedDepth")
    assert_alike(turned.ask(on_its_side), seen_turned)

    # While the node runs: the region goes, and what is refused says why.
    assert graph_set(detector, "view.regions", ["1,2,3"]).startswith(
        "parameter 'view.regions': region '1,2,3' must be four integers"
    )
    assert "has 2 entries for 4 image_topics" in graph_set(detector, "view.rotations", [0, 90])
    assert graph_set(detector, "view.regions", [""]) == ""
    assert_alike(part.ask(PICTURE), expected)


def graph_set(detector: DetectorNode, name: str, value: Any) -> str:
    """Set a parameter as a service call does; return why it was refused."""
    (result,) = detector.set_parameters([Parameter(name, value=value)])
    assert result.successful == (not result.reason)
    return result.reason


def test_a_view_that_makes_no_sense_is_refused_at_the_start(graph):
    with pytest.raises(
        ParameterError, match=r"'view\.rotations' must be .*0, 90, 180, 270, not 45"
    ):
        DetectorNode(
            context=graph.context,
            parameter_overrides=[Parameter("view.rotations", value=[45])],
        )
