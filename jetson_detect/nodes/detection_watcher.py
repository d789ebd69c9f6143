"""The observer: subscribes to detections and feeds what comes to a :class:`WatchLog`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.bags.writer import BagWriter
from jetson_detect.conversion.detections import named_detections
from jetson_detect.core.detections import Detections
from jetson_detect.core.frame_saving import FrameSaver
from jetson_detect.core.stamp_time import SECOND_NS, to_nanoseconds
from jetson_detect.core.watch_log import STAMP_PLAUSIBLE_S, SeenFrame, WatchLog
from jetson_detect.nodes.qos import LATCHED

_QUEUED = 100
"""Messages of a topic that the middleware keeps while this process is busy."""


@dataclass(frozen=True)
class WatchTopics:
    """What is subscribed to."""

    detections: str
    label_info: str | None = None
    ground_truth: str | None = None
    image: str | None = None
    best_effort: bool = False
    """Whether detections and ground truth are subscribed to best effort; else reliably."""


class DetectionWatcher(Node):
    """Feeds a :class:`WatchLog` from topics."""

    def __init__(
        self,
        topics: WatchTopics,
        log: WatchLog,
        saver: FrameSaver | None = None,
        bag: BagWriter | None = None,
        **node_arguments: Any,
    ) -> None:
        """Subscribe.

        Args:
            topics: what to.
            log: gets everything that comes.
            saver: gets the images that were answered.
            bag: gets detections, ground truth and labels as they come.
            node_arguments: as for ``Node``.
        """
        super().__init__("detection_watcher", start_parameter_services=False, **node_arguments)
        self._log, self._saver, self._bag = log, saver, bag
        self.labels_known = False
        """Whether a ``LabelInfo`` has come: the detector is active."""
        self.last_arrival: float | None = None
        """When the last answer came, seconds of ``time.monotonic``."""
        results = QoSProfile(
            depth=_QUEUED,
            reliability=ReliabilityPolicy.BEST_EFFORT
            if topics.best_effort
            else ReliabilityPolicy.RELIABLE,
        )
        # Best effort receives from any camera.
        images = QoSProfile(depth=_QUEUED, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscribe(Detection2DArray, topics.ground_truth, self._on_truth, results)
        self._subscribe(Image, topics.image, self._on_image, images)
        self._subscribe(Detection2DArray, topics.detections, self._on_detections, results)
        # Last: endpoints are announced in this order, so when the labels have come the detector
        # knows the subscription to the detections as well.
        self._subscribe(LabelInfo, topics.label_info, self._on_labels, LATCHED)
        self.detections_topic = self.resolve_topic_name(topics.detections)

    def why_nothing_came(self) -> str:
        """Say what may be wrong when no answer has come, in one sentence."""
        domain = self.context.get_domain_id()
        publishers = self.get_publishers_info_by_topic(self.detections_topic)
        if not publishers:
            return (
                f"nothing came on {self.detections_topic}: it has no publisher; is the detector "
                f"running and active, in this ROS_DOMAIN_ID ({domain}), and is the topic right?"
            )
        reliabilities = {each.qos_profile.reliability for each in publishers}
        if reliabilities == {ReliabilityPolicy.BEST_EFFORT}:
            return (
                f"nothing came on {self.detections_topic}: it is published best effort; if this "
                "subscription is reliable, they do not match: use --best-effort"
            )
        return (
            f"nothing came on {self.detections_topic}, which has {len(publishers)} publisher(s): "
            "does the detector get images?  Their QoS may not match, or they may be larger than "
            "the middleware's shared memory: see config/fastdds_shared_memory.xml"
        )

    def _subscribe(
        self, kind: Any, topic: str | None, callback: Callable[[Any, int], None], qos: QoSProfile
    ) -> None:
        """Subscribe to a topic, if there is one, and record it, unless it is an image.

        The callback gets the message and how many nanoseconds it has waited here.
        """
        if topic is None:
            return
        record: Callable[[Any], None] | None = None
        if self._bag is not None and kind is not Image:
            record = self._recorder(self._bag, kind, topic)

        def take(message: Any, waited_ns: int = 0) -> None:
            if record is not None:  # first, because the callback renames classes
                record(message)
            callback(message, waited_ns)

        def take_with_info(message: Any, info: Mapping[str, int]) -> None:
            take(message, _waited_ns(info))

        gives_info = hasattr(Subscription, "CallbackType")  # Humble's does not
        self.create_subscription(kind, topic, take_with_info if gives_info else take, qos)

    def _recorder(self, bag: BagWriter, kind: Any, topic: str) -> Callable[[Any], None]:
        name = self.resolve_topic_name(topic)
        package, _, _ = kind.__module__.partition(".")
        bag.add_topic(name, f"{package}/msg/{kind.__name__}")

        def record(message: Any) -> None:
            bag.write(name, self.get_clock().now().nanoseconds, serialize_message(message))

        return record

    def _on_labels(self, message: LabelInfo, waited_ns: int) -> None:
        self._log.names.learn_labels({each.class_id: each.class_name for each in message.class_map})
        self.labels_known = True

    def _on_detections(self, message: Detection2DArray, waited_ns: int) -> None:
        # What waited here, while this process was busy, is not the detector's fault.
        now_ns = self.get_clock().now().nanoseconds - waited_ns
        self.last_arrival = time.monotonic() - waited_ns / SECOND_NS
        self._save(
            self._log.add_answer(
                _stamp_ns(message), self._to_detections(message), now_ns, self.last_arrival
            )
        )

    def _on_truth(self, message: Detection2DArray, waited_ns: int) -> None:
        self._save(self._log.add_truth(_stamp_ns(message), self._to_detections(message)))

    def _on_image(self, message: Image, waited_ns: int) -> None:
        self._save(self._log.add_image(_stamp_ns(message), message))

    def _save(self, frames: Iterable[SeenFrame]) -> None:
        if self._saver is not None:
            for frame in frames:
                self._saver.save(frame, self._log.names.names)

    def save_remaining(self) -> None:
        """Save the images whose ground truth has not come."""
        self._save(self._log.remaining_images())

    def _to_detections(self, message: Detection2DArray) -> Detections:
        return named_detections(message, self._log.names)


def _waited_ns(info: Mapping[str, int]) -> int:
    """How long ago a message was received; 0 if the middleware does not tell."""
    received_ns = info.get("received_timestamp", 0)
    waited_ns = time.time_ns() - received_ns
    # Neither a middleware that gives no time nor a step of the clock is a wait.
    return waited_ns if 0 < waited_ns < STAMP_PLAUSIBLE_S * SECOND_NS else 0


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return to_nanoseconds(stamp.sec, stamp.nanosec)
