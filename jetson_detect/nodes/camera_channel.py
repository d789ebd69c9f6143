"""One camera of the detector node: where its images come from and where the answers go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.conversion.labels import to_label_info
from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import draw_detections, to_bgr
from jetson_detect.core.pixels import Pixels
from jetson_detect.nodes.qos import LATCHED, RELIABLE
from jetson_detect.transport import shared_memory_environment

_IMAGE_TYPE = "sensor_msgs/msg/Image"
_WARNING_PERIOD_S = 10.0


@dataclass
class FrameCounts:
    """What became of a camera's frames."""

    received: int = 0
    replaced: int = 0
    """Replaced by a newer one before the detector was free."""
    answered: int = 0
    failed: int = 0


class CameraChannel:
    """The topics of one camera."""

    def __init__(
        self,
        node: LifecycleNode,
        image_topic: str,
        output_namespace: str,
        image_qos: QoSProfile,
        labels: Sequence[str],
        publishes_serialized: bool,
    ) -> None:
        """Make the publishers; who subscribes to the images tells :meth:`receive` of each."""
        self._node = node
        self._labels = labels
        self._writer = DetectionWriter(labels) if publishes_serialized else None
        prefix = f"{output_namespace}/" if output_namespace else ""
        self._detections = node.create_lifecycle_publisher(
            Detection2DArray, f"{prefix}detections", RELIABLE
        )
        self._label_info = node.create_lifecycle_publisher(
            LabelInfo, f"{prefix}label_info", LATCHED
        )
        self._debug_image = node.create_lifecycle_publisher(
            Image, f"{prefix}debug_image", QoSProfile(depth=1)
        )
        self._image_writer = ImageWriter()
        self.image_topic = image_topic
        """As it was asked for; :attr:`topic` is what the node makes of it."""
        self.image_qos = image_qos
        self.topic = node.resolve_topic_name(image_topic)
        self.answer_topic = node.resolve_topic_name(f"{prefix}detections")
        self.counts = FrameCounts()
        self._last_frame = self._last_warning = time.monotonic()
        self._warned_bad_frame = float("-inf")

    def expect_frames(self) -> None:
        """Begin to count how long there is nothing."""
        self._last_frame = self._last_warning = time.monotonic()

    def receive(self) -> None:
        """Count a frame that has come."""
        self.counts.received += 1
        self._last_frame = time.monotonic()

    def destroy(self) -> None:
        """Take the publishers away."""
        for publisher in (self._detections, self._label_info, self._debug_image):
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(
        self,
        detections: Detections,
        header: FrameHeader,
        pixels: Pixels,
        class_id_format: ClassIdFormat,
    ) -> None:
        """Answer one image; paint a debug image while somebody looks at them."""
        if self._writer is not None:
            # rclpy takes nothing but bytes; past rclpy, publishing without this copy costs more.
            self._detections.publish(bytes(self._writer(detections, header, class_id_format)))
        else:
            self._detections.publish(
                to_detection_array(detections, header.to_message(), self._labels, class_id_format)
            )
        self.counts.answered += 1
        if self._debug_image.get_subscription_count() > 0:
            painted = draw_detections(to_bgr(pixels), detections, self._labels)
            self._debug_image.publish(self._image_writer(painted, header.to_message()))

    def publish_labels(self, threshold: float) -> None:
        """Tell, also later subscribers, what classes there are and the threshold in force."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._label_info.publish(to_label_info(header, self._labels, threshold))

    def report_bad_frame(self, error: Exception) -> None:
        """Count a frame that could not be processed; say why, but not for each one of them."""
        self.counts.failed += 1
        now = time.monotonic()
        if now - self._warned_bad_frame >= _WARNING_PERIOD_S:
            self._warned_bad_frame = now
            self._node.get_logger().warning(
                f"{self.topic}: frame left out ({self.counts.failed} so far): {error}"
            )

    def report_silence(self, after_s: float) -> None:
        """Say what may be wrong when nothing has arrived for ``after_s`` seconds."""
        now = time.monotonic()
        silent_s = now - self._last_frame
        if silent_s < after_s or now - self._last_warning < max(after_s, _WARNING_PERIOD_S / 2):
            return
        self._last_warning = now
        logger = self._node.get_logger()
        offers = self._node.get_publishers_info_by_topic(self.topic)
        if not offers:
            logger.info(
                f"{self.topic}: no publisher yet; is the camera running, in this ROS_DOMAIN_ID, "
                f"and is image_topics right?"
            )
            return
        other_types = sorted({offer.topic_type for offer in offers} - {_IMAGE_TYPE})
        problems = [
            *(f"it publishes {name}, not {_IMAGE_TYPE}" for name in other_types),
            *sorted({text for offer in offers for text in self._mismatches(offer.qos_profile)}),
        ]
        if not problems:
            name, path = next(iter(shared_memory_environment().items()))
            problems.append(
                "the image may be larger than the middleware's shared memory (512 KB for Fast "
                f"DDS): start the camera's process with {name}={path}"
            )
        logger.warning(
            f"{self.topic}: {len(offers)} publisher(s), but no image for {silent_s:.0f} s: "
            + "; ".join(problems)
        )

    def _mismatches(self, offered: QoSProfile) -> list[str]:
        """Why a publisher with this profile is never matched with our subscription."""
        wanted = self.image_qos
        mismatches = []
        if (
            wanted.reliability == ReliabilityPolicy.RELIABLE
            and offered.reliability == ReliabilityPolicy.BEST_EFFORT
        ):
            mismatches.append("it sends best effort: set image_qos.reliability to best_effort")
        if (
            wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL
            and offered.durability == DurabilityPolicy.VOLATILE
        ):
            mismatches.append("it is not latched: set image_qos.durability to volatile")
        return mismatches
