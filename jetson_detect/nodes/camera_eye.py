"""What a camera sends, read and looked at as its parameters say."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from jetson_detect.conversion.camera_info import to_calibration
from jetson_detect.conversion.compressed_image import read_compressed_image
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.core.camera_topic_names import namespace_beside
from jetson_detect.core.camera_views import (
    WHOLE_IMAGE,
    CalibrationError,
    CameraView,
    ViewedPicture,
    Viewer,
)
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.core.model import InputSpec
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.throttle import Throttle
from jetson_detect.middleware.frame_receiver import Frame
from jetson_detect.middleware.image_type import ImageType
from jetson_detect.nodes.qos import LATCHED

_CAMERA_INFO_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LOOK_FOR_LATCHED_S = 0.5
"""Between two looks at who publishes CameraInfo: at the start they are still being discovered."""
_STAMP_END = 12
"""Of a serialised message that begins with a header: encapsulation, seconds, nanoseconds."""
_GRACE_S = 2.0
"""A camera's first images may come before its first CameraInfo."""
_WARNING_PERIOD_S = 10.0


class CameraEye:
    """Reads the frames of one camera and shows the network what it is to see of them.

    Subscribes to the camera's ``camera_info`` while images are to be rectified.  The newest one
    holds for all images: cameras send the same with each of them.  Those that send it once and have
    the middleware keep it (transient local) are subscribed to a second time, latched: a volatile
    subscription misses what was sent before it, a latched one gets nothing from other cameras.
    """

    def __init__(self, node: Node, topic: str, view: CameraView = WHOLE_IMAGE) -> None:
        """Prepare to look.

        Parameters
        ----------
        node:
            Makes the subscription.
        topic:
            The whole name of the topic of images.
        view:
            What is looked at.

        """
        self._node = node
        self._topic = topic
        self._info_topic = camera_info_topic(topic)
        self._viewer = Viewer(view)
        self._subscriptions: list[Any] = []
        self._latched_search: Any = None
        self._last_info = b""
        self._problem_since: float | None = None
        self._warnings = Throttle(_WARNING_PERIOD_S)
        self.set_view(view)

    def set_view(self, view: CameraView) -> None:
        """Look at something else, from the next image on; may be called on any thread."""
        self._viewer.view = view
        if view.rectify and not self._subscriptions:
            self._subscribe(_CAMERA_INFO_QOS)
            self._latched_search = self._node.create_timer(
                _LOOK_FOR_LATCHED_S,
                self._look_for_latched,
                clock=Clock(clock_type=ClockType.STEADY_TIME),
            )
        elif not view.rectify:
            self._unsubscribe()

    def read(
        self, frame: Frame, image_type: ImageType
    ) -> tuple[FrameHeader, Pixels | CompressedPicture]:
        """Read a frame's header; of its picture what is needed to decode it later.

        Raises
        ------
        PixelError
            If it is damaged, or of an encoding that is not supported.

        """
        if image_type is ImageType.COMPRESSED:
            return read_compressed_image(frame)
        return read_image(frame)

    def look(
        self, picture: Pixels | CompressedPicture, network: InputSpec | None = None
    ) -> ViewedPicture:
        """Show the network what it is to see; see :meth:`Viewer.look`.

        What keeps an image from being rectified is logged, but not for each one of them.
        """
        seen = self._viewer.look(picture, network)
        if not seen.problem:
            self._problem_since = None
        else:
            self._report(seen.problem)
        return seen

    def destroy(self) -> None:
        """Take the subscription away."""
        self._unsubscribe()

    def _subscribe(self, qos: QoSProfile) -> None:
        self._subscriptions.append(
            self._node.create_subscription(
                CameraInfo, self._info_topic, self._on_camera_info, qos, raw=True
            )
        )

    def _look_for_latched(self) -> None:
        """Subscribe latched once it is seen that all who publish are."""
        publishers = self._node.get_publishers_info_by_topic(self._info_topic)
        # Beside one that is not, a latched subscription would have both sides warn of its QoS.
        if publishers and all(_is_latched(each.qos_profile) for each in publishers):
            self._subscribe(LATCHED)
        elif not self._last_info:
            return  # to be looked for again
        self._end_search()

    def _end_search(self) -> None:
        if self._latched_search is not None:
            self._node.destroy_timer(self._latched_search)
            self._latched_search = None

    def _unsubscribe(self) -> None:
        self._end_search()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._viewer.calibration = None
        self._last_info = b""

    def _on_camera_info(self, message: bytes) -> None:
        # One comes with each image, and says the same.
        content = message[_STAMP_END:]
        if content == self._last_info:
            return
        self._last_info = content
        try:
            self._viewer.calibration = to_calibration(deserialize_message(message, CameraInfo))
        except CalibrationError as error:
            self._viewer.calibration = error
        except (ValueError, RuntimeError) as error:
            # The second is the middleware's of damaged bytes: it must not end the executor.
            self._viewer.calibration = CalibrationError(f"CameraInfo is wrong: {error}")

    def _report(self, problem: str) -> None:
        now = time.monotonic()
        if self._problem_since is None:
            self._problem_since = now
        if now - self._problem_since >= _GRACE_S and self._warnings.permits():
            self._node.get_logger().warning(f"{self._topic}: {self._info_topic}: {problem}")


def _is_latched(offered: QoSProfile) -> bool:
    return bool(
        offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
        # Only to reliable subscriptions is sent again what was sent before.
        and offered.reliability == ReliabilityPolicy.RELIABLE
    )


def camera_info_topic(image_topic: str) -> str:
    """Name the topic of a camera's CameraInfo: beside its images, as image_transport has it."""
    return f"{namespace_beside(image_topic)}/camera_info"
