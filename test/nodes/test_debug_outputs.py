from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import draw_detections
from jetson_detect.core.pixels import Pixels
from jetson_detect.nodes import debug_outputs
from jetson_detect.nodes.debug_config import DebugImageConfig
from jetson_detect.nodes.debug_outputs import DebugOutputs

LABELS = ("ball", "box")
FOUND = Detections.from_best(
    np.array([[20, 30, 80, 90]], np.float32), np.array([0.75], np.float32), np.array([1], np.int32)
)
SCENE = np.tile(np.linspace(40, 200, 160, dtype=np.uint8)[None, :, None], (120, 1, 3))
PAINTED = draw_detections(SCENE.copy(), FOUND, LABELS)


class Publisher:
    """Keeps what is published."""

    def __init__(self, topic: str) -> None:
        self.topic_name = topic
        self.is_activated = True
        self.listeners = 0
        self.published: list[Any] = []
        self.has_published = threading.Event()

    def get_subscription_count(self) -> int:
        return self.listeners

    def publish(self, message: Any) -> None:
        self.published.append(message)
        self.has_published.set()

    def wait(self) -> Any:
        """The next message that is published."""
        assert self.has_published.wait(10)
        self.has_published.clear()
        return self.published[-1]


class Node:
    """Makes publishers, and nothing else."""

    def __init__(self) -> None:
        self.publishers: dict[str, Publisher] = {}
        self.warnings: list[str] = []
        self.has_warned = threading.Event()
        self.context = SimpleNamespace(ok=lambda: True)

    def create_lifecycle_publisher(self, _: type, topic: str, __: QoSProfile) -> Publisher:
        return self.publishers.setdefault(topic, Publisher(topic))

    def destroy_lifecycle_publisher(self, publisher: Publisher) -> None:
        del self.publishers[publisher.topic_name]

    def get_logger(self) -> Any:
        def warning(text: str) -> None:
            self.warnings.append(text)
            self.has_warned.set()

        return SimpleNamespace(warning=warning)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def outputs(node: Node) -> Iterator[DebugOutputs]:
    outputs = DebugOutputs(node, "front/", lambda: DebugImageConfig(jpeg_quality=100))
    yield outputs
    outputs.destroy()


def show(outputs: DebugOutputs, image: np.ndarray = SCENE, found: Detections = FOUND) -> None:
    outputs.publish(found, FrameHeader(7, 8, "camera"), Pixels.from_array(image), LABELS)


def test_nothing_is_made_while_nobody_looks(node, outputs, monkeypatch):
    monkeypatch.setattr(debug_outputs, "to_bgr", lambda pixels: 1 // 0)
    show(outputs)
    assert not any(publisher.published for publisher in node.publishers.values())


def test_what_was_painted_is_sent_raw_and_compressed_to_those_who_look(node, outputs):
    raw = node.publishers["front/debug_image"]
    compressed = node.publishers["front/debug_image/compressed"]
    raw.listeners = 1
    show(outputs)
    message = raw.wait()
    assert (message.width, message.height, message.encoding) == (160, 120, "bgr8")
    np.testing.assert_array_equal(
        np.frombuffer(message.data, np.uint8).reshape(120, 160, 3), PAINTED
    )
    assert not compressed.published

    raw.listeners, compressed.listeners = 0, 1
    show(outputs)
    message = compressed.wait()
    assert len(raw.published) == 1
    assert message.format == "bgr8; jpeg compressed bgr8"
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (7, 8)
    assert message.header.frame_id == "camera"
    decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (120, 160, 3)
    assert np.abs(decoded.astype(int) - PAINTED).mean() < 2


def test_a_picture_that_was_decoded_smaller_is_painted_at_its_own_scale(node, outputs):
    raw = node.publishers["front/debug_image"]
    twice = Detections(FOUND.boxes * 2, FOUND.scores, FOUND.class_ids)
    arguments = (twice, FrameHeader(7, 8, "camera"), Pixels.from_array(SCENE), LABELS)
    outputs.publish(*arguments, to_picture=lambda found: 1 // 0)  # nobody looks
    raw.listeners = 1
    outputs.publish(
        *arguments,
        to_picture=lambda found: Detections(found.boxes / 2, found.scores, found.class_ids),
    )
    np.testing.assert_array_equal(
        np.frombuffer(raw.wait().data, np.uint8).reshape(120, 160, 3), PAINTED
    )


def test_the_quality_is_that_of_the_moment(node):
    quality = 95
    outputs = DebugOutputs(node, "", lambda: DebugImageConfig(jpeg_quality=quality))
    compressed = node.publishers["debug_image/compressed"]
    compressed.listeners = 1
    sizes = []
    for quality in (95, 10):  # noqa: B007 (the lambda reads it)
        show(outputs)
        sizes.append(len(compressed.wait().data))
    outputs.destroy()
    assert sizes[1] < sizes[0] / 2


def test_the_image_may_change_as_soon_as_it_was_shown(node, outputs, monkeypatch):
    raw = node.publishers["front/debug_image"]
    raw.listeners = 1
    may_paint = threading.Event()
    real = debug_outputs.draw_detections

    def patient(*arguments: Any) -> Any:
        assert may_paint.wait(10)
        return real(*arguments)

    monkeypatch.setattr(debug_outputs, "draw_detections", patient)
    image = SCENE.copy()
    show(outputs, image)
    image[:] = 0
    may_paint.set()
    message = raw.wait()
    np.testing.assert_array_equal(
        np.frombuffer(message.data, np.uint8).reshape(120, 160, 3), PAINTED
    )


def test_frames_do_not_wait_for_the_painter_and_the_newest_is_shown(node, outputs, monkeypatch):
    raw = node.publishers["front/debug_image"]
    raw.listeners = 1
    is_painting, may_paint = threading.Event(), threading.Event()

    def patient(image: np.ndarray, *_: Any) -> np.ndarray:
        is_painting.set()
        assert may_paint.wait(10)
        return image

    monkeypatch.setattr(debug_outputs, "draw_detections", patient)
    show(outputs, np.full((8, 8, 3), 1, np.uint8))
    assert is_painting.wait(10)
    for value in range(2, 30):
        show(outputs, np.full((8, 8, 3), value, np.uint8))
    received: list[int] = []
    monkeypatch.setattr(
        raw, "publish", lambda message: (received.append(message.data[0]), raw.has_published.set())
    )
    may_paint.set()
    while len(received) < 2:
        assert raw.has_published.wait(10)
        raw.has_published.clear()
    assert received == [1, 29]


def test_an_image_that_cannot_be_painted_is_reported_and_the_next_one_shown(
    node, outputs, monkeypatch
):
    raw = node.publishers["front/debug_image"]
    raw.listeners = 1
    with monkeypatch.context() as context:
        context.setattr(debug_outputs, "draw_detections", lambda *_: 1 // 0)
        show(outputs)
        assert node.has_warned.wait(10)
    assert node.warnings == [
        "front/debug_image: a debug image could not be made: integer division or modulo by zero"
    ]
    show(outputs)
    assert raw.wait().width == 160


def test_annotations_are_published_where_there_are_messages_for_them(node, monkeypatch):
    made = []

    def annotate(messages: Any, *arguments: Any) -> str:
        made.append((messages, *arguments))
        return "annotations"

    messages = SimpleNamespace(ImageAnnotations=object)
    monkeypatch.setattr(debug_outputs, "foxglove_messages", lambda: messages)
    monkeypatch.setattr(debug_outputs, "to_image_annotations", annotate)
    outputs = DebugOutputs(node, "front/")
    publisher = node.publishers["front/annotations"]
    show(outputs)
    assert not made
    publisher.listeners = 1
    show(outputs)
    assert publisher.published == ["annotations"]
    header = FrameHeader(7, 8, "camera")
    assert made == [(messages, FOUND, header, (160, 120), LABELS)]
    outputs.publish(FOUND, header, Pixels.from_array(SCENE), LABELS, size=(320, 240))
    assert made[1:] == [(messages, FOUND, header, (320, 240), LABELS)]
    outputs.destroy()
    assert not node.publishers


def test_without_messages_for_them_there_is_no_topic_of_annotations(node, monkeypatch):
    monkeypatch.setattr(debug_outputs, "foxglove_messages", lambda: None)
    outputs = DebugOutputs(node, "")
    assert set(node.publishers) == {"debug_image", "debug_image/compressed"}
    outputs.destroy()


def test_nothing_is_published_while_the_node_is_not_active(node, outputs, monkeypatch):
    monkeypatch.setattr(debug_outputs, "to_bgr", lambda pixels: 1 // 0)
    for publisher in node.publishers.values():
        publisher.listeners, publisher.is_activated = 1, False
    show(outputs)


@pytest.mark.dds
def test_images_arrive_raw_and_compressed_over_dds(graph):
    node = LifecycleNode("painter", context=graph.context, start_parameter_services=False)
    graph.executor.add_node(node)
    outputs = DebugOutputs(node, "front/")
    viewer = graph.node("viewer")
    received: dict[type, Any] = {}
    for kind, topic in ((Image, "debug_image"), (CompressedImage, "debug_image/compressed")):
        viewer.create_subscription(
            kind,
            f"/front/{topic}",
            lambda message, kind=kind: received.update({kind: message}),
            QoSProfile(depth=1),
        )
    for publisher in outputs.publishers:
        publisher.on_activate(None)
    graph.spin_until(
        lambda: all(publisher.get_subscription_count() for publisher in outputs.publishers[:2]),
        what="the viewer's subscriptions",
    )
    show(outputs)
    graph.spin_until(lambda: len(received) == 2, what="both images")
    outputs.destroy()
    np.testing.assert_array_equal(
        np.frombuffer(received[Image].data, np.uint8).reshape(120, 160, 3), PAINTED
    )
    decoded = cv2.imdecode(np.frombuffer(received[CompressedImage].data, np.uint8), 1)
    assert decoded.shape == (120, 160, 3)
    assert not node.count_publishers("/front/debug_image")
