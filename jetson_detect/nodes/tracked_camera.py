"""One camera of the tracker node: its detections come in, and go out with ids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.serialization import deserialize_message
from vision_msgs.msg import Detection2DArray

from jetson_detect.conversion.detection_bytes import DetectionBytes, EncodingError
from jetson_detect.conversion.tracked_detections import DetectionMessage, TrackableArray
from jetson_detect.conversion.tracker_status import CameraTracks
from jetson_detect.core.throttle import Throttle
from jetson_detect.core.tracking.associator import MakeAssociator
from jetson_detect.core.tracking.camera_tracker import NO_ID, CameraTracker, Tracks
from jetson_detect.nodes.qos import RELIABLE
from jetson_detect.nodes.tracker_config import Publish, TrackerConfig

_WARNING_PERIOD_S = 10.0


class TrackedCamera:
    """The topics of one camera, and the objects that are followed in it."""

    def __init__(
        self,
        node: LifecycleNode,
        detection_topic: str,
        output_topic: str,
        config: TrackerConfig,
        make_associator: MakeAssociator,
        reads_bytes: bool,
    ) -> None:
        """Make the publisher; :meth:`subscribe` begins.

        With ``reads_bytes`` messages are read and written past rclpy's message objects.
        """
        self._node = node
        self._reads_bytes = reads_bytes
        self._input = detection_topic
        self._qos = config.detections_qos.profile()
        self._tracker = CameraTracker(config.tracking, make_associator)
        self._publisher = node.create_lifecycle_publisher(Detection2DArray, output_topic, RELIABLE)
        self._subscription: object | None = None
        self._frames = self._failed = 0
        self._failures, self._detours = Throttle(_WARNING_PERIOD_S), Throttle(_WARNING_PERIOD_S)
        self.topic = node.resolve_topic_name(detection_topic)
        self.output_topic = node.resolve_topic_name(output_topic)

    @property
    def tracks(self) -> CameraTracks:
        """What is known of the camera's tracks."""
        tracker = self._tracker
        return CameraTracks(
            self.topic,
            self._frames,
            self._failed,
            tracker.confirmed,
            tracker.ids_given,
            tracker.resets,
        )

    def subscribe(self, config: Callable[[], TrackerConfig]) -> None:
        """Begin to answer; ``config`` gives the parameters in force."""
        self._subscription = self._node.create_subscription(
            Detection2DArray,
            self._input,
            lambda data: self._answer(data, config()),
            self._qos,
            raw=True,
        )

    def unsubscribe(self) -> None:
        """Answer no more; without effect when nothing is subscribed."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _answer(self, data: bytes, config: TrackerConfig) -> None:
        """Publish an array again with ids, whatever is in it: somebody waits for its stamp."""
        self._frames += 1
        tracker, resets = self._tracker, self._tracker.resets
        try:
            array = self._open(data)
            seen = array.observations()
        except Exception as error:  # it has no stamp that could be read
            self._report_failure(error)
            return
        try:
            tracks = tracker.update(array.stamp_ns, seen, config.smoothing)
        except Exception as error:
            self._report_failure(error)
            tracks = Tracks(np.full(len(seen), NO_ID, np.int64), seen.boxes)
        if tracker.resets != resets:
            self._node.get_logger().info(f"{self.topic}: time jumped back; all tracks end")
        answer = array.with_tracks(
            tracks,
            confirmed_only=config.publish is Publish.CONFIRMED,
            boxes=config.smoothing > 0.0,
        )
        self._publisher.publish(answer)

    def _report_failure(self, error: Exception) -> None:
        self._failed += 1
        if self._failures.permits():
            self._node.get_logger().error(
                f"{self.topic}: frame not tracked ({self._failed} so far): {error}"
            )

    def _open(self, data: bytes) -> TrackableArray:
        if self._reads_bytes:
            try:
                return DetectionBytes(data)
            except EncodingError as error:
                if self._detours.permits():
                    self._node.get_logger().warning(
                        f"{self.topic}: read as a message object, which costs more ({error})"
                    )
        return DetectionMessage(deserialize_message(data, Detection2DArray))
