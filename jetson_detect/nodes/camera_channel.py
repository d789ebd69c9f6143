"""One camera of the detector node: where its images come from and where the answers go."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.labels import to_label_info
from jetson_detect.core.backends import BackendError
from jetson_detect.core.camera_condition import CameraCondition, Presence
from jetson_detect.core.camera_statistics import CameraStatistics, DropReason
from jetson_detect.core.camera_views import CameraView, ViewedPicture
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.core.detections import Detections
from jetson_detect.core.model import InputSpec
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.stamp_time import SECOND_NS, to_nanoseconds
from jetson_detect.core.throttle import Throttle
from jetson_detect.middleware.frame_receiver import Frame
from jetson_detect.middleware.image_type import ImageType, image_type
from jetson_detect.nodes.camera_eye import CameraEye
from jetson_detect.nodes.debug_config import DebugImageConfig
from jetson_detect.nodes.debug_outputs import DebugOutputs
from jetson_detect.nodes.qos import LATCHED, RELIABLE
from jetson_detect.nodes.silent_camera import silence_reasons

_WARNING_PERIOD_S = 10.0


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
        debug_image: Callable[[], DebugImageConfig] = DebugImageConfig,
    ) -> None:
        """Make the publishers; who subscribes to the images tells :meth:`receive` of each."""
        self._node = node
        self._clock = node.get_clock()
        self.set_labels(labels, publishes_serialized)
        prefix = f"{output_namespace}/" if output_namespace else ""
        self._detections = node.create_lifecycle_publisher(
            Detection2DArray, f"{prefix}detections", RELIABLE
        )
        self._label_info = node.create_lifecycle_publisher(
            LabelInfo, f"{prefix}label_info", LATCHED
        )
        self._debug = DebugOutputs(node, prefix, debug_image)
        self._publishers = (self._detections, self._label_info, *self._debug.publishers)
        self.image_topic = image_topic
        """As it was asked for; :attr:`topic` is what the node makes of it."""
        self.image_qos = image_qos
        self.topic = node.resolve_topic_name(image_topic)
        self.answer_topic = node.resolve_topic_name(f"{prefix}detections")
        self.entry = 0
        """Of ``image_topics``, for which the camera is here."""
        self._eye = CameraEye(node, self.topic)
        self.image_type = ImageType.RAW
        """What is subscribed to."""
        self.statistics = CameraStatistics()
        self._presence = Presence.AWAITED
        self._gone_at = self._last_warning = time.monotonic()
        self._bad_frames = Throttle(_WARNING_PERIOD_S)
        self._bad_frame = ""
        self._dropped_before = self.statistics.report().dropped

    @property
    def published_topics(self) -> tuple[str, ...]:
        """Whole names of what is published for this camera."""
        return tuple(publisher.topic_name for publisher in self._publishers)

    def decide_type(self) -> ImageType:
        """Return which type of message the topic has now, as far as the graph tells."""
        return image_type(
            self.topic,
            {offer.topic_type for offer in self._node.get_publishers_info_by_topic(self.topic)},
        )

    def set_labels(self, labels: Sequence[str], publishes_serialized: bool) -> None:
        """Take over another model's labels; on the thread that publishes, if there is one."""
        self._labels = labels
        self._writer = DetectionWriter(labels) if publishes_serialized else None

    def set_view(self, view: CameraView) -> None:
        """Look at something else of the images, from the next one on."""
        self._eye.set_view(view)

    def activate(self) -> None:
        """Let the publishers publish, of a camera that is found while the node is active."""
        for publisher in self._publishers:
            publisher.on_activate(None)

    def expect_frames(self) -> None:
        """Begin to count how long there is nothing."""
        self.statistics.expect_frames()
        self._last_warning = time.monotonic()

    def destroy(self) -> None:
        """Take the publishers away."""
        self._eye.destroy()
        self._debug.destroy()
        for publisher in (self._detections, self._label_info):
            self._node.destroy_lifecycle_publisher(publisher)

    # -- frames -------------------------------------------------------------------------------

    def receive(self) -> None:
        """Count a frame that has come."""
        self.statistics.receive()

    def is_too_old(self, header: FrameHeader, max_age_s: float) -> bool:
        """Whether a frame is not worth an answer any more; counts it if so.

        Parameters
        ----------
        header:
            The frame's.  A stamp of zero, or ahead of the clock, is never too old.
        max_age_s:
            By the node's clock; 0 for frames of any age.

        """
        if max_age_s <= 0.0:
            return False
        age_s = self._age_s(header)
        if age_s is None or age_s <= max_age_s:
            return False
        self.statistics.drop(DropReason.TOO_OLD)
        return True

    def read(self, frame: Frame) -> tuple[FrameHeader, Pixels | CompressedPicture]:
        """Read a frame's header, and what is needed to look at its picture.

        Raises
        ------
        PixelError
            If it is damaged, or of an encoding that is not supported.

        """
        return self._eye.read(frame, self.image_type)

    def look(self, picture: Pixels | CompressedPicture, network: InputSpec | None) -> ViewedPicture:
        """Show the network what it is to see; on the thread that answers.

        Raises
        ------
        PixelError
            If the picture cannot be decoded, or the region that is to be seen lies outside it.

        """
        return self._eye.look(picture, network)

    def publish(
        self,
        found: Detections,
        header: FrameHeader,
        seen: ViewedPicture,
        class_id_format: ClassIdFormat,
    ) -> None:
        """Answer one image, and show what was found while somebody looks.

        Parameters
        ----------
        found:
            In pixels of what the network was shown.
        header:
            The image's.
        seen:
            What the network was shown.
        class_id_format:
            How classes are named.

        """
        detections = seen.to_source(found)
        if self._writer is not None:
            # rclpy takes nothing but bytes; past rclpy, publishing without this copy costs more.
            self._detections.publish(bytes(self._writer(detections, header, class_id_format)))
        else:
            self._detections.publish(
                to_detection_array(detections, header.to_message(), self._labels, class_id_format)
            )
        self.statistics.answer(self._age_s(header))
        self._debug.publish(
            detections,
            header,
            seen.picture,
            self._labels,
            seen.to_picture,
            seen.geometry.source_size,
        )

    def publish_labels(self, threshold: float) -> None:
        """Tell, also later subscribers, what classes there are and the threshold in force."""
        header = Header(stamp=self._clock.now().to_msg())
        self._label_info.publish(to_label_info(header, self._labels, threshold))

    def report_bad_frame(self, error: Exception) -> None:
        """Count a frame that got no answer; say why, but not for each one of them."""
        self._bad_frame = str(error)
        failed = self.statistics.drop(
            DropReason.FAILED_INFERENCE if isinstance(error, BackendError) else DropReason.BAD_IMAGE
        )
        if self._bad_frames.permits():
            self._node.get_logger().warning(
                f"{self.topic}: frame left out ({failed} so far): {error}"
            )

    def _age_s(self, header: FrameHeader) -> float | None:
        """By the node's clock, in seconds; below zero for a stamp ahead of it; None without one."""
        if header.sec == 0 and header.nanosec == 0:
            return None
        now: int = self._clock.now().nanoseconds
        return (now - to_nanoseconds(header.sec, header.nanosec)) / SECOND_NS

    # -- how the camera is --------------------------------------------------------------------

    def watch(self, silence_warning_s: float) -> None:
        """Say when the camera goes and comes back, and what may be wrong while it is silent."""
        self._look_for_publisher()
        if silence_warning_s > 0.0 and self._presence is not Presence.LOST:
            self._report_silence(silence_warning_s)

    def _look_for_publisher(self) -> None:
        logger = self._node.get_logger()
        is_there = self._node.count_publishers(self.topic) > 0
        if is_there:
            if self._presence is Presence.LOST:
                away_s = time.monotonic() - self._gone_at
                logger.info(f"{self.topic}: its publisher is back after {away_s:.0f} s")
                self.expect_frames()
            self._presence = Presence.THERE
        elif self._presence is Presence.THERE:
            self._presence = Presence.LOST
            self._gone_at = time.monotonic()
            logger.warning(f"{self.topic}: its publisher has gone; waiting for it to come back")

    def condition(
        self, *, is_active: bool, is_enabled: bool, silence_warning_s: float
    ) -> CameraCondition:
        """Tell how the camera is; what was dropped counts from one call to the next."""
        self._look_for_publisher()
        report = self.statistics.report()
        before, self._dropped_before = self._dropped_before, report.dropped
        reasons: tuple[str, ...] = ()
        if self._presence is Presence.THERE and report.silent_s > silence_warning_s > 0.0:
            _, reasons = self._silence_reasons()
        return CameraCondition(
            topic=self.topic,
            message_type=self.image_type.value,
            presence=self._presence,
            is_active=is_active,
            is_enabled=is_enabled,
            silence_warning_s=silence_warning_s,
            silence_reasons=reasons,
            # After a reset there is less than before.
            recently_dropped={
                reason: max(0, count - before[reason]) for reason, count in report.dropped.items()
            },
            last_failure=self._bad_frame,
            report=report,
        )

    def _silence_reasons(self) -> tuple[int, tuple[str, ...]]:
        return silence_reasons(
            self._node,
            self.topic,
            self.image_qos,
            self.image_type,
            has_sent=self.statistics.has_received,
        )

    def _report_silence(self, after_s: float) -> None:
        """Say what may be wrong when nothing has arrived for ``after_s`` seconds."""
        now = time.monotonic()
        silent_s = self.statistics.silent_s
        if silent_s < after_s or now - self._last_warning < max(after_s, _WARNING_PERIOD_S / 2):
            return
        self._last_warning = now
        logger = self._node.get_logger()
        publishers, reasons = self._silence_reasons()
        if not publishers:
            logger.info(
                f"{self.topic}: no publisher yet; is the camera running, in this ROS_DOMAIN_ID, "
                f"and is image_topics right?"
            )
            return
        logger.warning(
            f"{self.topic}: {publishers} publisher(s), but no image for {silent_s:.0f} s: "
            + "; ".join(reasons)
        )
