"""What people look at while a camera runs: painted images, and annotations for Foxglove."""

from __future__ import annotations

import array
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from jetson_detect.conversion.annotations import foxglove_messages, to_image_annotations
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import draw_detections, to_bgr
from jetson_detect.core.newest_frames import NewestFrames
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.throttle import Throttle
from jetson_detect.nodes.debug_config import DebugImageConfig

_FORMAT = "bgr8; jpeg compressed bgr8"
"""As image_transport writes it: before the semicolon what a decoder is to return."""
_NEWEST_ONLY = QoSProfile(depth=1)
_CLOSE_TIMEOUT_S = 5.0
_WARNING_PERIOD_S = 10.0


@dataclass(frozen=True, eq=False)
class _Painting:
    """A picture to be painted on."""

    image: NDArray[np.uint8]
    """BGR, (H, W, 3); nobody else's."""
    detections: Detections
    header: FrameHeader
    labels: Sequence[str]


class DebugOutputs:
    """Publishes a camera's ``debug_image``, ``debug_image/compressed`` and ``annotations``.

    Each is made only while somebody subscribes to it.  Painting and encoding take milliseconds,
    which no frame is to wait: a thread of its own does that, begun when first needed, on a copy of
    the newest picture.  It leaves pictures out when it cannot keep up.  Annotations are published
    at once, as each image has its own.
    """

    def __init__(
        self,
        node: LifecycleNode,
        prefix: str,
        config: Callable[[], DebugImageConfig] = DebugImageConfig,
    ) -> None:
        """Make the publishers.

        Parameters
        ----------
        node:
            Whose publishers they are.
        prefix:
            Before the topics' names: empty, or with a slash at its end.
        config:
            Tells the parameters in force, on any thread.

        """
        self._node = node
        self._config = config
        self._image = node.create_lifecycle_publisher(Image, f"{prefix}debug_image", _NEWEST_ONLY)
        self._compressed = node.create_lifecycle_publisher(
            CompressedImage, f"{prefix}debug_image/compressed", _NEWEST_ONLY
        )
        self._messages = foxglove_messages()
        self._annotations: Any = None
        if self._messages is not None:
            self._annotations = node.create_lifecycle_publisher(
                self._messages.ImageAnnotations, f"{prefix}annotations", _NEWEST_ONLY
            )
        self.publishers: tuple[Any, ...] = tuple(
            publisher
            for publisher in (self._image, self._compressed, self._annotations)
            if publisher is not None
        )
        """Those that there are; annotations only where foxglove_msgs is installed."""
        self._image_writer = ImageWriter()
        self._failures = Throttle(_WARNING_PERIOD_S)
        self._waiting: NewestFrames[None, _Painting] = NewestFrames()
        self._painter: threading.Thread | None = None

    def publish(
        self,
        detections: Detections,
        header: FrameHeader,
        pixels: Pixels,
        labels: Sequence[str],
        to_picture: Callable[[Detections], Detections] = lambda found: found,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Show what was found in an image, to those who look.

        Parameters
        ----------
        detections:
            In pixels of the image as it was published.
        header:
            The image's.
        pixels:
            The picture to paint on; may change after the return.
        labels:
            Of the classes.
        to_picture:
            Maps detections from the published image to the picture, where that is another one: of a
            JPEG that was decoded at a fraction of its size.  Called only if one is painted.
        size:
            Width and height of the published image, if they are not those of the picture.

        """
        if _is_wanted(self._annotations):
            self._annotations.publish(
                to_image_annotations(
                    self._messages, detections, header, size or pixels.size, labels
                )
            )
        if _is_wanted(self._image) or _is_wanted(self._compressed):
            found = to_picture(detections)
            self._waiting.put(None, _Painting(to_bgr(pixels), found, header, labels))
            if self._painter is None:
                self._painter = threading.Thread(target=self._work, name="painter", daemon=True)
                self._painter.start()

    def destroy(self) -> None:
        """Stop painting and take the publishers away."""
        self._waiting.close()
        if self._painter is not None:
            self._painter.join(_CLOSE_TIMEOUT_S)
        for publisher in self.publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _work(self) -> None:
        while (taken := self._waiting.take()) is not None:
            try:
                self._paint(taken[1])
            except Exception as error:
                if not self._node.context.ok():  # the process is stopping
                    return
                if self._failures.permits():
                    self._node.get_logger().warning(
                        f"{self._image.topic_name}: a debug image could not be made: {error}"
                    )

    def _paint(self, painting: _Painting) -> None:
        image = draw_detections(painting.image, painting.detections, painting.labels)
        header = painting.header.to_message()
        if _is_wanted(self._image):
            self._image.publish(self._image_writer(image, header))
        if _is_wanted(self._compressed):
            quality = self._config().jpeg_quality
            _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
            message = CompressedImage(header=header, format=_FORMAT)
            # Bytes would be checked one by one.
            message.data = array.array("B", data.tobytes())
            self._compressed.publish(message)


def _is_wanted(publisher: Any) -> bool:
    """Whether a publisher, if there is one, may publish and somebody listens."""
    return (
        publisher is not None and publisher.is_activated and publisher.get_subscription_count() > 0
    )
