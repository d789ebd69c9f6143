"""The cameras of the detector node: those that are named, and those that are found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from jetson_detect.core.camera_condition import CameraCondition
from jetson_detect.core.camera_statistics import DropReason
from jetson_detect.core.camera_topic_names import namespace_beside
from jetson_detect.core.throttle import Throttle
from jetson_detect.core.topic_patterns import is_pattern
from jetson_detect.middleware.frame_receiver import Frame, FrameReceiver
from jetson_detect.nodes.camera_channel import CameraChannel
from jetson_detect.nodes.camera_discovery import CameraDiscovery
from jetson_detect.nodes.camera_topics import output_namespaces
from jetson_detect.nodes.detector_config import DetectorConfig

_WATCH_S = 0.5
"""Between two looks at the graph."""
_WARNING_PERIOD_S = 10.0
_SETTLE_S = 1.0
"""How long a camera may be silent before it is asked whether it changed its type."""


class CameraSet:
    """Makes a channel for each camera, and subscribes to their images while it is active.

    A camera that is found once stays, also when its publisher goes: its subscription waits for the
    publisher to come back.  What is not said to be otherwise is called on the executor's thread.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: Callable[[], DetectorConfig],
        make_channel: Callable[[str, str], CameraChannel],
    ) -> None:
        """Make the channels of the cameras that are named.

        Parameters
        ----------
        node:
            The detector's node.
        config:
            Tells the parameters in force.
        make_channel:
            Makes one, of a topic and the namespace of its answers.

        Raises
        ------
        ValueError
            If two cameras would publish on the same topics.

        """
        self._node = node
        self._config = config
        self._make_channel = make_channel
        self._warnings = Throttle(_WARNING_PERIOD_S)
        topics = config().image_topics
        self._discovery = CameraDiscovery(node, topics)
        self._refused: set[str] = set()
        """Found, but there is no place for their answers; said once."""
        self.channels: tuple[CameraChannel, ...] = tuple(
            self._make(entry, topic, namespace)
            for entry, (topic, namespace) in enumerate(zip(topics, output_namespaces(config())))
            if not is_pattern(topic)
        )
        """Replaced, never changed, so that other threads read it without a lock."""
        self._receiver: FrameReceiver[CameraChannel] | None = None
        self._threshold = 0.0
        self._timer: object | None = None

    @property
    def is_active(self) -> bool:
        """Whether images are subscribed to."""
        return self._receiver is not None

    def activate(
        self, on_frame: Callable[[CameraChannel, Frame], None], score_threshold: float
    ) -> None:
        """Subscribe to the images; publishers must be active already.

        Parameters
        ----------
        on_frame:
            Gets each frame and whose it is, on whichever thread it came.
        score_threshold:
            As in ``label_info``.

        Raises
        ------
        RclUnavailableError
            If frames cannot be received as the parameters demand.

        """
        self._threshold = score_threshold
        self._receiver = FrameReceiver(
            self._node, on_frame, CameraChannel.report_bad_frame, self._config().transport.receive
        )
        for channel in self.channels:
            self._begin(channel)
        logger = self._node.get_logger()
        if self._receiver.reason:
            logger.info(
                f"images are taken by the executor, which costs more ({self._receiver.reason})"
            )
        if self._discovery.is_needed:
            logger.info(f"looking for cameras: {', '.join(filter(is_pattern, self._topics))}")
        self._look()
        # Steady time: also with use_sim_time and no clock it says that nothing comes.
        self._timer = self._node.create_timer(
            _WATCH_S, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def deactivate(self) -> None:
        """Unsubscribe; without effect when nothing is subscribed to."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def destroy(self) -> None:
        """Take the publishers away."""
        self.deactivate()
        for channel in self.channels:
            channel.destroy()
        self.channels = ()

    def publish_labels(self, score_threshold: float) -> None:
        """Tell of each camera what classes there are and the threshold in force."""
        self._threshold = score_threshold
        for channel in self.channels:
            channel.publish_labels(score_threshold)

    def take_labels(
        self, labels: Sequence[str], publishes_serialized: bool, score_threshold: float
    ) -> None:
        """Take over another model's labels; on the thread that publishes, if there is one."""
        for channel in self.channels:
            channel.set_labels(labels, publishes_serialized)
        self.publish_labels(score_threshold)

    def take_views(self) -> None:
        """Have the cameras looked at as the parameters say."""
        views = self._config().view.views(len(self._topics))
        for channel in self.channels:
            channel.set_view(views[channel.entry])

    def reset_statistics(self) -> None:
        """Count frames anew."""
        for channel in self.channels:
            channel.statistics.reset()

    def forget_latencies(self) -> None:
        """Leave out what was measured by a clock that has jumped."""
        for channel in self.channels:
            channel.statistics.forget_latencies()

    def conditions(self) -> list[CameraCondition]:
        """Tell how each camera is."""
        config = self._config()
        return [
            channel.condition(
                is_active=self.is_active,
                is_enabled=config.enabled,
                silence_warning_s=config.silence_warning_s,
            )
            for channel in self.channels
        ]

    def log_counts(self) -> None:
        """Say what became of each camera's frames."""
        for channel in self.channels:
            report = channel.statistics.report()
            self._node.get_logger().info(
                f"{channel.topic}: {report.received} frames received, {report.answered} answered, "
                f"{report.dropped[DropReason.REPLACED]} replaced by newer ones, "
                f"{report.dropped[DropReason.TOO_OLD]} too old, {report.failed} bad"
            )

    @property
    def _topics(self) -> Sequence[str]:
        return self._config().image_topics

    def _make(self, entry: int, topic: str, namespace: str) -> CameraChannel:
        """Make a channel for one of the image topics, or for what that stands for."""
        channel = self._make_channel(topic, namespace)
        channel.entry = entry
        channel.set_view(self._config().view.views(len(self._topics))[entry])
        return channel

    def _begin(self, channel: CameraChannel) -> None:
        channel.publish_labels(self._threshold)
        channel.expect_frames()
        self._subscribe(channel)
        self._node.get_logger().info(f"detecting: {channel.topic} -> {channel.answer_topic}")

    def _subscribe(self, channel: CameraChannel) -> None:
        assert self._receiver is not None
        channel.image_type = channel.decide_type()
        self._receiver.add(
            channel, channel.image_topic, channel.image_qos, image_type=channel.image_type
        )

    def _watch(self) -> None:
        """See which cameras came and went."""
        self._look()
        config = self._config()
        for channel in self.channels:
            channel.watch(config.silence_warning_s if config.enabled else 0.0)
            if channel.statistics.silent_s > _SETTLE_S:
                self._follow_type(channel)

    def _follow_type(self, channel: CameraChannel) -> None:
        """Subscribe anew if the topic carries another type of images than was expected."""
        receiver = self._receiver
        if receiver is None:
            return
        is_subscribed = channel in receiver
        if is_subscribed and channel.decide_type() is channel.image_type:
            return
        if is_subscribed:
            receiver.remove(channel)
        with self._postponing(channel):
            self._subscribe(channel)
            self._node.get_logger().info(
                f"{channel.topic}: carries {channel.image_type.value}; subscribed to that"
            )

    @contextlib.contextmanager
    def _postponing(self, channel: CameraChannel) -> Iterator[None]:
        """Leave a subscription that cannot be made to the next time.

        In one process a topic has one type: somebody may still hold the other.
        """
        try:
            yield
        except RuntimeError as error:
            if self._warnings.permits(channel.topic):
                self._node.get_logger().warning(
                    f"{channel.topic}: cannot be subscribed to yet: {error}"
                )

    def _look(self) -> None:
        """Take in cameras that have appeared."""
        if not self._discovery.is_needed:
            return
        known = {channel.topic for channel in self.channels} | self._refused
        published = {topic for each in self.channels for topic in each.published_topics}
        for topic in self._discovery.find(known | published):
            namespace = namespace_beside(topic)
            answers = self._node.resolve_topic_name(f"{namespace}/detections")
            other = next((each for each in self.channels if each.answer_topic == answers), None)
            if other is not None:
                self._refused.add(topic)
                self._node.get_logger().warning(
                    f"{topic}: left out, since its answers would share {answers} with "
                    f"{other.topic}; name both in image_topics, with output_namespaces of their own"
                )
                continue
            channel = self._make(self._discovery.entry_of(topic), topic, namespace)
            channel.activate()
            self.channels = (*self.channels, channel)
            with self._postponing(channel):
                self._begin(channel)
