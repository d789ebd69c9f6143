"""A camera without a camera: drawn scenes, images or videos as a ROS image topic.

Topics, in the node's namespace (``-r __ns:=/camera`` makes them ``/camera/image_raw`` ...):

* ``image_raw``, ``sensor_msgs/Image``, ``bgr8``.
* ``ground_truth``, ``vision_msgs/Detection2DArray``: the objects in the image of the same header,
  each with its label as class, score 1.0 and ``id`` the object's number, which it keeps from image
  to image.  Only drawn scenes have it: for images and videos this topic does not exist.

The images are published reliably, as most camera drivers do: such a publisher serves reliable and
best-effort subscribers alike.  With ``reliability:=best_effort`` it serves only the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.conversion.ground_truth import ground_truth
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.core.pictures import (
    Picture,
    PictureError,
    PicturesAhead,
    drawn_pictures,
    find_files,
    read_pictures,
)
from jetson_detect.nodes.parameters import ParameterError, ParameterSet, parameter
from jetson_detect.nodes.qos import RELIABILITIES, RELIABLE

SCENES = "scenes"
"""The ``source`` that draws."""
_SMALLEST_SCENE = 32

_QUEUED_IMAGES = 5  # rclpy's sensor data profile
_ACKNOWLEDGE_S = 2.0


@dataclass(frozen=True)
class SceneCameraConfig:
    """What can be configured about the camera."""

    source: str = parameter(
        SCENES,
        "What is shown: 'scenes' are drawn; else the path of an image, of a video or of a folder "
        "of these, shown in the order of their names.",
        read_only=True,
    )
    rate: float = parameter(30.0, "Images per second.", range=(0.1, 1000.0))
    width: int = parameter(
        0,
        "Width of the images in pixels; 0 is the source's own or, where height is given, what "
        "keeps the proportions.",
        range=(0, 8192),
        read_only=True,
    )
    height: int = parameter(
        0, "Height of the images in pixels; 0 as for width.", range=(0, 8192), read_only=True
    )
    seed: int = parameter(
        1, "Drawn scenes of another seed show other things.", range=(0, 2**31 - 1), read_only=True
    )
    loop: bool = parameter(
        True,
        "Start again after the last picture; otherwise the node ends.  Drawn scenes never end.",
        read_only=True,
    )
    frames: int = parameter(
        0, "The node ends after this many images; 0 is never.", range=(0, 2**31 - 1), read_only=True
    )
    frame_id: str = parameter("camera", "frame_id in the headers.")
    reliability: str = parameter(
        "reliable", "Reliability of the image topic.", choices=RELIABILITIES, read_only=True
    )


def check_size(config: SceneCameraConfig) -> None:
    """Raise ``ValueError`` for scenes too small to be drawn."""
    if config.source != SCENES:
        return
    for name, size in (("width", config.width), ("height", config.height)):
        if 0 < size < _SMALLEST_SCENE:
            raise ValueError(
                f"parameter '{name}' must be 0 or from {_SMALLEST_SCENE} on for drawn scenes, "
                f"not {size}"
            )


class SceneCameraNode(Node):
    """Publishes pictures at a steady rate; see the module for the topics."""

    def __init__(self, **node_arguments: Any) -> None:
        """Read the parameters and start.

        Raises
        ------
        ParameterError
            If a parameter is not allowed, or its source shows nothing.

        """
        self._pictures: PicturesAhead | None = None
        super().__init__("scene_camera", **node_arguments)
        self._settings = ParameterSet(
            self, SceneCameraConfig, on_change=self._on_change, check=check_size
        )
        config = self._settings.value
        pictures: Iterator[Picture]
        if config.source == SCENES:
            pictures = drawn_pictures(config.seed, config.width, config.height)
            self._truth_publisher = self.create_publisher(
                Detection2DArray, "ground_truth", RELIABLE
            )
        else:
            pictures = self._read_pictures(config)
            self._truth_publisher = None
        qos = QoSProfile(
            depth=_QUEUED_IMAGES, reliability=ReliabilityPolicy[config.reliability.upper()]
        )
        self._image_publisher = self.create_publisher(Image, "image_raw", qos)
        self._writer = ImageWriter()
        self._published = 0
        # Steady: a step of the system clock, or a simulation's clock that stands, is not ours.
        self._timer = self.create_timer(
            1.0 / config.rate, self._publish_next, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._pictures = PicturesAhead(pictures)
        self.get_logger().info(
            f"publishing {config.source} on {self._image_publisher.topic_name} "
            f"at {config.rate:g} images per second"
        )

    def destroy_node(self) -> None:
        """End the thread that draws, then the node."""
        if self._pictures is not None:
            self._pictures.close()
        super().destroy_node()

    def _on_change(self, old: SceneCameraConfig, new: SceneCameraConfig) -> None:
        if old.rate != new.rate:
            self._timer.timer_period_ns = int(1e9 / new.rate)
            self._timer.reset()

    def _read_pictures(self, config: SceneCameraConfig) -> Iterator[Picture]:
        try:
            files = find_files(config.source)
        except PictureError as error:
            raise ParameterError(f"parameter 'source' ('{SCENES}' are drawn): {error}") from error
        return read_pictures(
            files,
            lambda text: self.get_logger().warning(text),
            width=config.width,
            height=config.height,
            loop=config.loop,
        )

    def _publish_next(self) -> None:
        if self._pictures is None:
            return
        try:
            picture = self._pictures.take()
        except PictureError as error:
            raise ParameterError(f"parameter 'source': {error}") from error
        if picture is not None:
            self._publish(picture)
            if self._published == self._settings.value.frames:
                self._end()
        elif self._pictures.ended:
            self._end()
        elif self._published:
            rate = self._settings.value.rate
            self.get_logger().warning(
                f"pictures are not ready in time for {rate:g} per second; "
                "lower the parameters 'rate', 'width' or 'height'",
                throttle_duration_sec=10.0,
            )

    def _publish(self, picture: Picture) -> None:
        config = self._settings.value
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=config.frame_id)
        # The truth first: whoever has the image has what to compare answers with.
        if self._truth_publisher is not None and picture.scene is not None:
            self._truth_publisher.publish(ground_truth(picture.scene, header))
        self._image_publisher.publish(self._writer(picture.image, header))
        self._published += 1

    def _end(self) -> None:
        """End the process: there is nothing more to show.

        Raises
        ------
        SystemExit
            Always; :func:`jetson_detect.nodes.entry.run_node` cleans up on its way.

        """
        self.get_logger().info(f"published {self._published} images, that was all")
        for publisher in (self._image_publisher, self._truth_publisher):
            if publisher is not None:
                publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S))
        raise SystemExit(0)
