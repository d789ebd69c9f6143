from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from jetson_detect.core.camera_views import CameraView, Region
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.middleware.image_type import ImageType
from jetson_detect.nodes import camera_eye
from jetson_detect.nodes.camera_eye import CameraEye, camera_info_topic
from jetson_detect.nodes.qos import LATCHED

PICTURE = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def raw_frame() -> np.ndarray:
    message = Image(width=64, height=48, step=192, encoding="bgr8")
    message.data = array.array("B", PICTURE.tobytes())
    return np.frombuffer(serialize_message(message), np.uint8)


def compressed_frame() -> np.ndarray:
    message = CompressedImage(format="bgr8; png compressed bgr8")
    message.data = array.array("B", cv2.imencode(".png", PICTURE)[1].tobytes())
    return np.frombuffer(serialize_message(message), np.uint8)


def camera_info(width: int = 64, focal_length: float = 50.0) -> CameraInfo:
    message = CameraInfo(width=width, height=48, distortion_model="plumb_bob")
    message.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
    message.k = [focal_length, 0.0, 32.0, 0.0, focal_length, 24.0, 0.0, 0.0, 1.0]
    return message


def is_rectified(eye: CameraEye) -> bool:
    _, picture = eye.read(raw_frame(), ImageType.RAW)
    return not np.array_equal(eye.look(picture).pixels.data, PICTURE)


@pytest.mark.parametrize(
    ("images", "info"),
    [
        ("/front/image_raw", "/front/camera_info"),
        ("/front/image_raw/compressed", "/front/camera_info"),
        ("/image", "/camera_info"),
    ],
)
def test_the_camera_info_is_beside_the_image(images, info):
    assert camera_info_topic(images) == info


def test_raw_and_compressed_images_are_looked_at_alike(graph):
    eye = CameraEye(graph.node(), "/front/image_raw", CameraView(Region(8, 4, 32, 16), 180))
    raw = eye.read(raw_frame(), ImageType.RAW)
    compressed = eye.read(compressed_frame(), ImageType.COMPRESSED)
    assert raw[0] == compressed[0]
    assert isinstance(compressed[1], CompressedPicture)
    expected = PICTURE[4:20, 8:40][::-1, ::-1]
    for _, picture in (raw, compressed):
        np.testing.assert_array_equal(eye.look(picture).pixels.data, expected)


def test_images_are_rectified_by_the_newest_camera_info_while_that_is_wanted(
    graph, monkeypatch, capfd
):
    monkeypatch.setattr(camera_eye, "_GRACE_S", 0.0)
    node = graph.node("camera_and_detector")
    eye = CameraEye(node, "/front/image_raw", CameraView(rectify=True))
    publisher = node.create_publisher(CameraInfo, "/front/camera_info", 1)
    assert not is_rectified(eye)
    for _ in range(3):
        assert not is_rectified(eye)
    graph.spin_until(publisher.get_subscription_count, what="the subscription")

    def send(message: CameraInfo | bytes) -> object:
        before = eye._viewer.calibration
        publisher.publish(message)
        graph.spin_until(lambda: eye._viewer.calibration is not before, what="the calibration")
        return eye._viewer.calibration

    first = send(camera_info())
    assert is_rectified(eye)
    # The same with another stamp is not worked out again.
    again = camera_info()
    again.header.stamp.sec = 9
    publisher.publish(again)
    second = send(camera_info(focal_length=60.0))
    assert second is not first
    assert is_rectified(eye)
    send(camera_info(width=640))
    assert not is_rectified(eye)
    send(CameraInfo(width=64, height=48))
    assert not is_rectified(eye)
    send(camera_info())
    assert is_rectified(eye)
    # What the middleware cannot read is said, and ends nothing.
    damaged = send(bytes(serialize_message(camera_info()))[:40])
    assert "CameraInfo is wrong" in str(damaged)
    assert not is_rectified(eye)
    eye.set_view(CameraView())
    assert node.count_subscribers("/front/camera_info") == 0
    assert not is_rectified(eye)
    eye.destroy()
    written = capfd.readouterr().err
    # Once, though many images could not be rectified.
    assert written.count("not rectified") == 1
    assert "/front/image_raw: /front/camera_info: no CameraInfo has come" in written


def test_a_camera_info_that_was_sent_once_and_is_kept_is_received(graph):
    camera, other = graph.node("camera"), graph.node("other_camera")
    publisher = camera.create_publisher(CameraInfo, "/front/camera_info", LATCHED)
    publisher.publish(camera_info())
    eye = CameraEye(graph.node("detector"), "/front/image_raw", CameraView(rectify=True))
    graph.spin_until(lambda: is_rectified(eye), what="the camera info that was sent before")
    assert eye._latched_search is None
    # Others, which keep nothing, are still listened to.
    volatile = other.create_publisher(CameraInfo, "/front/camera_info", 1)
    graph.spin_until(volatile.get_subscription_count, what="the volatile subscription")
    damaged = CameraInfo(width=64, height=48)

    def is_heard() -> bool:
        volatile.publish(damaged)
        return not is_rectified(eye)

    graph.spin_until(is_heard, what="the other camera")
    # And asked for once more, the first says it again.
    eye.set_view(CameraView())
    eye.set_view(CameraView(rectify=True))
    other.destroy_publisher(volatile)
    graph.spin_until(lambda: is_rectified(eye), what="the camera info that is kept")
    eye.destroy()
    graph.spin_until(lambda: not publisher.get_subscription_count(), what="the end")


def test_a_camera_that_keeps_nothing_is_not_asked_for_it(graph):
    """It would not answer, and both sides would warn."""
    camera, detector = graph.node("camera"), graph.node("detector")
    eye = CameraEye(detector, "/front/image_raw", CameraView(rectify=True))
    publisher = camera.create_publisher(CameraInfo, "/front/camera_info", 1)

    def is_seen() -> bool:
        publisher.publish(camera_info())
        return is_rectified(eye)

    graph.spin_until(is_seen, what="the camera info")
    graph.spin_until(lambda: eye._latched_search is None, what="the end of the search")
    assert detector.count_subscribers("/front/camera_info") == 1
    eye.destroy()
