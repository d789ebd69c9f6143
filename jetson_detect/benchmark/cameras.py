"""The cameras of a benchmark, and who waits for the answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.cdr import get_stamp, put_stamp
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.picture import draw_picture
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.core.stamp_time import SECOND_NS

_DEPTH = 10
_POLL_S = 0.2

Stamp = tuple[int, int]
"""Seconds and nanoseconds of a header."""


class SilentNodeError(RuntimeError):
    """A contestant that does not answer; the text names its topic."""


@dataclass(frozen=True)
class Sent:
    """What the cameras saw of a number of frames."""

    sent: int
    seconds: float
    latencies_ms: tuple[float, ...]
    """Of the frames that were answered, in the order of the answers."""


@dataclass(eq=False)
class _Link:
    """One camera: its images and the answers to them."""

    topic: str
    images: Publisher
    sent: int = 0
    due: float = 0.0
    """When the next frame is sent, where there is a rate."""
    waiting: dict[Stamp, float] = field(default_factory=dict)
    """When each frame that is not answered was sent, by its stamp."""


class Cameras:
    """Sends prepared frames to one contestant, and matches its answers by their stamps."""

    def __init__(
        self,
        executor: SingleThreadedExecutor,
        namespace: str,
        size: tuple[int, int],
        image_topics: Sequence[str],
        answer_topics: Sequence[str],
    ) -> None:
        """Advertise the images and subscribe to the answers.

        Parameters
        ----------
        executor:
            Spins the cameras' node; its context is theirs.
        namespace:
            Of that node.
        size:
            Width and height of the pictures.
        image_topics, answer_topics:
            A topic for each camera.

        """
        self._executor = executor
        self._node = Node(
            "cameras",
            namespace=namespace,
            context=executor.context,
            start_parameter_services=False,
        )
        executor.add_node(self._node)
        self._frame = _serialized_frame(size)
        self._arrived: deque[tuple[_Link, Stamp, float]] = deque()
        self._links = []
        self.last_answer = b""
        """The newest answer, as it came."""
        for images, answers in zip(image_topics, answer_topics):
            publisher = self._node.create_publisher(Image, images, QoSProfile(depth=_DEPTH))
            link = _Link(images, publisher)
            self._links.append(link)
            self._node.create_subscription(
                Detection2DArray,
                answers,
                partial(self._on_answer, link),
                QoSProfile(depth=_DEPTH),
                raw=True,
            )

    def wait_until_answered(
        self,
        timeout_s: float,
        period_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Send single frames until each camera has had an answer.

        Parameters
        ----------
        timeout_s:
            How long that may take, for all cameras.
        period_s:
            Seconds between two frames.
        check:
            Called in between; may raise.

        Raises
        ------
        SilentNodeError
            If it takes longer.

        """
        deadline = time.monotonic() + timeout_s
        for link in self._links:
            while not self._answers_to(link, period_s):
                check()
                if time.monotonic() > deadline:
                    raise SilentNodeError(f"{link.topic}: no answer within {timeout_s:.0f} s")

    def run(self, drive: Drive) -> Sent:
        """Send frames from each camera; return when all are answered or lost."""
        self._arrived.clear()
        latencies: list[float] = []
        started = last = time.perf_counter()
        for index, link in enumerate(self._links):
            link.sent, link.waiting = 0, {}
            if drive.rate:  # cameras are not synchronised
                link.due = started + index / len(self._links) / drive.rate
        while True:
            now = time.perf_counter()
            for link in self._links:
                self._send_what_is_due(link, drive, now)
            if all(link.sent >= drive.frames and not link.waiting for link in self._links):
                break
            self._executor.spin_once(timeout_sec=self._patience(drive))
            while self._arrived:
                link, stamp, at = self._arrived.popleft()
                sent_at = link.waiting.pop(stamp, None)
                if sent_at is not None:
                    latencies.append((at - sent_at) * 1e3)
                    last = at
        return Sent(drive.frames * len(self._links), last - started, tuple(latencies))

    def close(self) -> None:
        """Take the cameras away."""
        self._executor.remove_node(self._node)
        self._node.destroy_node()

    def _send_what_is_due(self, link: _Link, drive: Drive, now: float) -> None:
        for stamp, sent_at in list(link.waiting.items()):
            if now - sent_at > drive.timeout_s:
                del link.waiting[stamp]
        if drive.rate:
            if link.sent < drive.frames and now >= link.due:
                link.due += 1 / drive.rate
                self._send(link)
        else:
            while link.sent < drive.frames and len(link.waiting) < drive.in_flight:
                self._send(link)

    def _patience(self, drive: Drive) -> float:
        """Return how long to wait for answers before there is something to send."""
        if not drive.rate:
            return _POLL_S
        due = [link.due for link in self._links if link.sent < drive.frames]
        return max(0.0, min([_POLL_S, *(at - time.perf_counter() for at in due)]))

    def _send(self, link: _Link) -> None:
        stamp = divmod(time.time_ns(), SECOND_NS)
        put_stamp(self._frame, *stamp)
        link.sent += 1
        link.waiting[stamp] = time.perf_counter()
        link.images.publish(bytes(self._frame))

    def _answers_to(self, link: _Link, within_s: float) -> bool:
        """Send one frame, and return whether any is answered by then."""
        self._arrived.clear()
        self._send(link)
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
            if any(arrived is link for arrived, _, _ in self._arrived):
                return True
        return False

    def _on_answer(self, link: _Link, message: bytes) -> None:
        self._arrived.append((link, get_stamp(message), time.perf_counter()))
        self.last_answer = message


def _serialized_frame(size: tuple[int, int]) -> bytearray:
    """Return a bgr8 image as it is sent."""
    message = ImageWriter()(draw_picture(size), Header(frame_id="camera"))
    return bytearray(serialize_message(message))
