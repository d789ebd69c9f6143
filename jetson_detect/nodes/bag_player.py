"""A node that publishes a bag's images and keeps account of the detections that come back."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.answers import Answer, AnswerListener, LossListener
from jetson_detect.bags.errors import BagError
from jetson_detect.bags.frames import Frame
from jetson_detect.bags.ledger import FrameLedger, SentFrame, Verdict
from jetson_detect.bags.offline_player import MAX_CONSECUTIVE_LOSSES
from jetson_detect.bags.played_topics import Ending, PlayedCamera, PlayedTopic, Stamping
from jetson_detect.bags.reader import BagMessage
from jetson_detect.bags.recorded_detections import read_detections
from jetson_detect.bags.stamps import read_stamp, with_stamp
from jetson_detect.core.class_names import ClassNames
from jetson_detect.nodes.message_classes import message_class_of
from jetson_detect.nodes.qos import RELIABLE
from jetson_detect.nodes.replay_clock import ReplayClock

_RESEND_S = 0.5
"""Between two sendings of a topic's first frame."""

_SLICE_S = 0.05
"""Longest wait without a look at ``should_stop`` and at the graph."""

_IMAGES_KEPT = 64
"""Images whose answer has not come: by the clock some never are answered."""

_ANSWER_QUALITY = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
"""A best-effort subscriber hears reliable and best-effort publishers alike."""


@dataclass(frozen=True)
class PlayerConfig:
    """What is played and how."""

    cameras: tuple[PlayedCamera, ...]
    companions: tuple[PlayedTopic, ...] = ()
    """Topics that go along with the images."""
    rate: float | None = 1.0
    """Times as fast as recorded; None is lock-step, a frame at a time."""
    timeout_s: float = 5.0
    """Longest wait for the answer to a frame (lock-step) or to the last ones (timed)."""
    startup_timeout_s: float = 30.0
    """Longest wait for subscribers, and again for the answer to each topic's first frame."""
    stamping: Stamping = Stamping.ORIGINAL
    """What header stamps become."""
    clock_hz: float | None = None
    """How often the time of the recording is published on ``/clock``; None is never."""


class BagPlayer(Node):
    """Publishes frames as they are, byte for byte, and takes the answers.

    Discovery is not symmetric: a publisher may know its subscriber before the subscriber knows the
    publisher, and a best-effort message of that moment is lost; it may take seconds until both
    know.  In lock-step the first frame of each topic is therefore sent again until it is answered,
    by the clock the very first one, from whose answer on the clock runs; no later one ever is.
    """

    def __init__(
        self,
        config: PlayerConfig,
        ledger: FrameLedger,
        on_answer: AnswerListener = lambda answer: None,
        on_lost: LossListener = lambda frame, reason: None,
        should_stop: Callable[[], bool] = lambda: False,
        names: ClassNames | None = None,
        **node_arguments: Any,
    ) -> None:
        """Make publishers and subscribers.

        Parameters
        ----------
        config
            What to play and how.
        ledger
            Where frames and answers are noted.
        on_answer, on_lost
            Called for each frame answered and each one lost in lock-step.
        should_stop
            Asked twenty times a second during play.
        names
            Gets each ``class_id`` of the answers; shared with whoever compares them.
        node_arguments
            For :class:`rclpy.node.Node`.

        Raises
        ------
        BagError
            If a message type is not installed, or does not start with a header although the
            configuration needs its stamp.

        """
        super().__init__("replay", **node_arguments)
        self.names = ClassNames() if names is None else names
        """Names of the classes of the answers."""
        self.problem = ""
        """Why the replay did not finish, with a remedy."""
        self._config = config
        self._ledger = ledger
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._should_stop = should_stop
        self._last_stamp = 0
        self._images: dict[SentFrame, BagMessage] = {}
        """Of the frames that wait for their answer, the last few."""
        self._greeted: set[PlayedCamera] = set()
        self._stamped: set[str] = set()
        self._cameras = {camera.recorded: camera for camera in config.cameras}
        self._image_publishers: dict[str, Any] = {}
        for camera in config.cameras:
            self._image_publishers[camera.recorded] = self._make_publisher(camera)
            if camera.recorded not in self._stamped:
                raise BagError(
                    f"{camera.recorded}: {camera.type_name} has no header, so no answer can be "
                    "matched to it; choose image topics with --topics"
                )
            self.create_subscription(
                Detection2DArray,
                camera.detections,
                partial(self._take_answer, camera),
                _ANSWER_QUALITY,
                raw=True,
            )
        self._companion_publishers = {
            topic.recorded: self._make_publisher(topic) for topic in config.companions
        }
        self._replay_clock = (
            None
            if config.clock_hz is None
            else ReplayClock(self, config.clock_hz, config.rate or 1.0)
        )

    @property
    def stamped_companions(self) -> set[str]:
        """Companion topics, as in the bag, whose messages start with a header."""
        return self._stamped & set(self._companion_publishers)

    def play(self, frames: Iterable[Frame]) -> Ending:
        """Send the frames; returns when the last is answered or lost.

        Meanwhile it spins the executor that this node was added to, which nobody else may do.
        """
        try:
            if not self._wait_for_subscribers():
                return Ending.NO_SUBSCRIBER
            timed = self._config.rate is not None
            return self._play_timed(frames) if timed else self._play_in_lock_step(frames)
        except _StopRequestedError:
            return Ending.STOPPED

    def linger(self, longest_s: float) -> None:
        """Stay a while after the last frame, or until a stop is asked for.

        Fast DDS drops what a subscriber has not read yet when its publisher goes.
        """
        with contextlib.suppress(_StopRequestedError):
            self._wait_until(lambda: False, longest_s)

    # -- sending ---------------------------------------------------------------------------------

    def _wait_for_subscribers(self) -> bool:
        cameras = self._config.cameras
        publishers = self._image_publishers

        def deaf() -> list[PlayedCamera]:
            return [
                camera
                for camera in cameras
                if publishers[camera.recorded].get_subscription_count() == 0
            ]

        if self._wait_until(lambda: not deaf(), self._config.startup_timeout_s):
            return True
        self.problem = "\n".join(self._why_deaf(camera) for camera in deaf())
        return False

    def _play_in_lock_step(self, frames: Iterable[Frame]) -> Ending:
        losses = 0
        for frame in frames:
            key, resend = self._send(frame)
            camera = self._cameras[frame.image.topic]
            if camera not in self._greeted:
                if not self._greet(camera, key, resend):
                    return Ending.NO_FIRST_ANSWER
            elif not self._wait_for_answer(key, self._config.timeout_s):
                self._lose(key, f"none came within {self._config.timeout_s:g} s")
                losses += 1
                if losses < MAX_CONSECUTIVE_LOSSES:
                    continue
                self.problem = (
                    f"{losses} frames in a row were not answered within {self._config.timeout_s:g} "
                    f"s each on {camera.detections}; is the detector still running?"
                )
                return Ending.TOO_MANY_LOST
            losses = 0
        return Ending.FINISHED

    def _play_timed(self, frames: Iterable[Frame]) -> Ending:
        assert self._config.rate is not None
        sequence = iter(frames)
        first = next(sequence, None)
        if first is not None:
            key, resend = self._send(first)
            if not self._greet(self._cameras[first.image.topic], key, resend):
                return Ending.NO_FIRST_ANSWER
            start = time.monotonic()
            if self._replay_clock is not None:
                self._replay_clock.run(start)
            for frame in sequence:
                after = (frame.position_ns - first.position_ns) / 1e9 / self._config.rate
                self._wait_until(lambda: False, start + after - time.monotonic())
                self._send(frame)
        self._wait_until(lambda: not self._ledger.is_waiting(), self._config.timeout_s)
        self._ledger.give_up_all()
        return Ending.FINISHED

    def _greet(self, camera: PlayedCamera, key: int, resend: Callable[[], None]) -> bool:
        """Send a topic's first frame until it is answered; False if it never is."""
        deadline = time.monotonic() + self._config.startup_timeout_s
        while not self._wait_for_answer(key, min(_RESEND_S, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                self._lose(key, f"none came within {self._config.startup_timeout_s:g} s")
                self.problem = self._why_mute(camera)
                return False
            resend()
            self._ledger.resend(key)
        self._greeted.add(camera)
        return True

    def _send(self, frame: Frame) -> tuple[int, Callable[[], None]]:
        """Send a frame; returns its key in the ledger and what sends the same bytes again."""
        config = self._config
        is_restamped = config.stamping is Stamping.NOW
        offset = frame.delay_ns if config.stamping is Stamping.SHIFTED else 0
        stamp = self._fresh_stamp() if is_restamped else frame.stamp + offset
        outgoing = [
            (self._companion_publishers[message.topic], self._stamp(message, stamp, offset))
            for message in frame.companions
            if message.topic in self._companion_publishers
        ]
        outgoing.append(
            (self._image_publishers[frame.image.topic], self._stamp(frame.image, stamp, offset))
        )
        camera = self._cameras[frame.image.topic]
        recorded_at = stamp if is_restamped else frame.position_ns

        def publish() -> None:
            for publisher, data in outgoing:
                publisher.publish(data)

        sent = SentFrame(
            camera.published, frame.number, stamp, recorded_at, frame.loop, stamp - frame.stamp
        )
        if self._replay_clock is not None:
            # First: a node that lives by it never sees a frame of its future.
            self._replay_clock.show(frame.position_ns, frame.delay_ns - offset)
        key = self._ledger.send(sent, time.monotonic())
        self._images[sent] = frame.image
        if len(self._images) > _IMAGES_KEPT:
            del self._images[next(iter(self._images))]
        publish()
        return key, publish

    def _lose(self, key: int, reason: str) -> None:
        lost = self._ledger.give_up(key)
        self._images.pop(lost, None)
        self._on_lost(lost, reason)

    def _stamp(self, message: Any, stamp: int, offset: int) -> bytes:
        data: bytes = message.data
        if message.topic in self._stamped:
            if self._config.stamping is Stamping.NOW:
                return with_stamp(data, stamp)
            if offset:
                return with_stamp(data, read_stamp(data) + offset)
        return data

    def _fresh_stamp(self) -> int:
        """Return the time of day; never the same twice, for answers are matched by it."""
        self._last_stamp = max(time.time_ns(), self._last_stamp + 1)
        return self._last_stamp

    # -- answers ---------------------------------------------------------------------------------

    def _take_answer(self, camera: PlayedCamera, data: bytes) -> None:
        at = time.monotonic()
        stamp = read_stamp(data)
        detections = read_detections(data, self.names)
        verdict, sent, latency = self._ledger.answer(camera.published, stamp, detections, at)
        if verdict is Verdict.ANSWER and sent is not None:
            image = self._images.pop(sent, None)
            self._on_answer(Answer(camera, sent, image, detections, data, latency))

    # -- waiting ---------------------------------------------------------------------------------

    def _wait_for_answer(self, key: int, timeout_s: float) -> bool:
        return self._wait_until(lambda: not self._ledger.is_waiting(key), timeout_s)

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Serve callbacks until the condition holds; False after ``timeout_s`` seconds."""
        executor = self.executor
        assert executor is not None, "add the node to an executor before it plays"
        deadline = time.monotonic() + timeout_s
        # What has come meanwhile is taken in any case, however late the caller is.
        executor.spin_once(timeout_sec=0.0)
        while True:
            if self._should_stop():
                raise _StopRequestedError
            if condition():
                return True
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            executor.spin_once(timeout_sec=min(left, _SLICE_S))

    # -- making and explaining -------------------------------------------------------------------

    def _make_publisher(self, topic: PlayedTopic) -> Any:
        message_class = message_class_of(topic.type_name)
        fields = list(message_class.get_fields_and_field_types().values())
        if fields and fields[0] == "std_msgs/Header":
            self._stamped.add(topic.recorded)
        return self.create_publisher(message_class, topic.published, RELIABLE)

    def _why_deaf(self, camera: PlayedCamera) -> str:
        waited = f"within {self._config.startup_timeout_s:g} s"
        strangers = self.get_subscriptions_info_by_topic(camera.published)
        if strangers:
            offers = ", ".join(
                f"{info.node_name} ({info.topic_type}, "
                f"{info.qos_profile.reliability.name.lower()}, "
                f"{info.qos_profile.durability.name.lower()})"
                for info in strangers
            )
            return (
                f"nobody could be matched on {camera.published} {waited}: {offers} is there, but "
                f"{camera.type_name}, reliable, volatile is what is published; "
                "correct the subscriber's type or quality of service"
            )
        return (
            f"nobody subscribed to {camera.published} {waited}; is the detector running and active "
            f"on this topic (--remap {camera.recorded}:=/other) and in this ROS domain "
            f"(ROS_DOMAIN_ID is {os.environ.get('ROS_DOMAIN_ID', 'not set, so 0')})?"
        )

    def _why_mute(self, camera: PlayedCamera) -> str:
        publishers = self.count_publishers(camera.detections)
        silent = (
            "somebody publishes there, but nothing came with the image's stamp; does it copy the "
            "header, and do images of this size reach it (see dds_profile in the README)?"
            if publishers
            else "nobody publishes there; name the detector's topic with --detections"
        )
        return (
            f"no answer on {camera.detections} to the first frame of {camera.published} within "
            f"{self._config.startup_timeout_s:g} s, though it was sent every {_RESEND_S:g} s: "
            f"{silent}"
        )


class _StopRequestedError(Exception):
    """Leaves whatever waits."""
