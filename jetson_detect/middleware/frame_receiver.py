"""Camera images, from any number of topics, taken by one thread."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from jetson_detect.middleware.arrival_semaphore import ArrivalSemaphore
from jetson_detect.middleware.image_memory import ImageSlots, Typesupport, load_typesupport
from jetson_detect.middleware.image_type import ImageType
from jetson_detect.middleware.rcl_library import (
    RclError,
    RclLibrary,
    RclUnavailableError,
    load_rcl,
)
from jetson_detect.middleware.received_image import ReceivedImage

Key = TypeVar("Key", bound=Hashable)

Frame: TypeAlias = ReceivedImage | NDArray[np.uint8]
"""An image; or a whole serialised one, (N,) bytes, read-only, the encapsulation header included.
``conversion/serialized_image.py: read_image`` reads both."""


class ReceiveMode(str, Enum):
    """Who takes the messages."""

    AUTO = "auto"
    """RCL where it works, else RAW."""
    RCL = "rcl"
    """A thread of the receiver, through librcl, into C messages that are used again."""
    RAW = "raw"
    """The node's executor, through rclpy alone; each image comes as a new bytes object."""


class _TakenElsewhere(ReentrantCallbackGroup):
    """Keeps executors from waiting for its subscriptions."""

    def can_execute(self, entity: object) -> bool:
        """No executor may take from them."""
        return False


@dataclass(frozen=True)
class _Taker:
    """What the thread takes messages with."""

    rcl: RclLibrary
    typesupport: Typesupport
    arrivals: ArrivalSemaphore


class _Channel(Generic[Key]):
    """One topic."""

    def __init__(self, key: Key, slots: ImageSlots | None) -> None:
        self.key = key
        self.slots = slots
        """None if the executor takes its messages."""
        self.subscription: Any = None
        self.is_open = True
        # Held while a frame is handed over; reentrant, as the frame's taker may remove the topic.
        self.lock = threading.RLock()


class FrameReceiver(Generic[Key]):
    """Subscribes to images and hands them over, all that arrive, in their order.

    In mode RCL a frame is a :class:`ReceivedImage`, whose memory is used again when the last array
    that looks at its data is gone: a frame that somebody holds is never written over.  In mode RAW
    it is the serialised image.

    The two callbacks are called from the receiver's thread in mode RCL and from the executor in
    mode RAW.  They should be quick, and must not wait for a thread that is in :meth:`remove` or
    :meth:`close`.

    In mode RCL the executor does not serve the subscriptions' events: rclpy's warning of a
    publisher with incompatible quality of service stays away, as an executor that waited for it
    would be woken by each frame (2 ms of CPU time at 1080p).  An executor that asks no callback
    group (``EventsExecutor`` of Kilted) takes a part of the frames in mode RCL; these are handed
    over as in mode RAW, but not in their order: RAW is the mode for such an executor.

    Attributes
    ----------
    mode_in_force
        RCL or RAW: how the next topic's frames come.
    reason
        Why it is RAW; empty if it was asked for, or for RCL.

    """

    def __init__(
        self,
        node: Node,
        on_frame: Callable[[Key, Frame], None],
        on_error: Callable[[Key, Exception], None],
        mode: ReceiveMode = ReceiveMode.AUTO,
    ) -> None:
        """Prepare to receive; :meth:`close` must be called before the node is destroyed.

        Parameters
        ----------
        node
            Makes the subscriptions.
        on_frame
            Gets the key of the topic and a frame.
        on_error
            Gets the key of the topic and what ``on_frame`` raised, or the middleware's error.
        mode
            Who takes the messages.

        Raises
        ------
        RclUnavailableError
            If mode RCL is asked for and librcl cannot be used; AUTO then is RAW.

        """
        self._node = node
        self._on_frame = on_frame
        self._on_error = on_error
        self._wished_mode = mode
        self._group = _TakenElsewhere()
        self._changing = threading.Lock()
        # Replaced, never changed, so that the thread reads it without a lock.
        self._channels: dict[Key, _Channel[Key]] = {}
        self._thread: threading.Thread | None = None
        self._ended = False
        self._taker: _Taker | None = None
        self.mode_in_force = ReceiveMode.RAW
        self.reason = ""
        if mode != ReceiveMode.RAW:
            try:
                self._taker = _Taker(load_rcl(), load_typesupport(), ArrivalSemaphore())
                self.mode_in_force = ReceiveMode.RCL
            except (RclUnavailableError, OSError) as error:
                self._do_without_rcl(error)
        node.context.on_shutdown(self._end)

    def add(
        self, key: Key, topic: str, qos: QoSProfile, image_type: ImageType = ImageType.RAW
    ) -> None:
        """Subscribe to a topic of images; frames may come before the return.

        Compressed ones come serialised, as in mode RAW, in either mode: they are small.

        Raises
        ------
        ValueError
            If there is a topic with this key, or the receiver or its context is closed.
        RclUnavailableError
            If mode RCL is asked for and the middleware does not go along.

        """
        with self._changing:
            if self._ended:
                raise ValueError(f"the receiver is closed; '{topic}' cannot be added any more")
            if key in self._channels:
                raise ValueError(
                    f"{key!r} has a topic already; remove it before '{topic}' is added"
                )
            channel = None
            if image_type is ImageType.RAW:
                channel = self._channel_of_thread(key, topic, qos)
            if channel is None:
                channel = self._channel_of_executor(key, topic, qos, image_type)
            self._channels = {**self._channels, key: channel}
        if channel.slots is not None and self._taker is not None:
            # For what arrived before the thread knew of the channel.
            self._taker.arrivals.post()

    def __contains__(self, key: object) -> bool:
        """Whether a topic was added with this key and not removed."""
        return key in self._channels

    def remove(self, key: Key) -> None:
        """Unsubscribe; after the return no frame of this topic is handed over.

        Raises
        ------
        KeyError
            If there is no topic with this key.

        """
        with self._changing:
            channels = dict(self._channels)
            channel = channels.pop(key)
            channel.is_open = False
            self._channels = channels
        self._close_channel(channel)

    def close(self) -> None:
        """Unsubscribe from all topics and end the thread; a second call has no effect."""
        with self._changing:
            channels, self._channels = self._channels, {}
            for channel in channels.values():
                channel.is_open = False
        for channel in channels.values():
            self._close_channel(channel)
        self._end()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _channel_of_executor(
        self, key: Key, topic: str, qos: QoSProfile, image_type: ImageType
    ) -> _Channel[Key]:
        channel = _Channel(key, None)
        message_type = Image if image_type is ImageType.RAW else CompressedImage
        self._subscribe(channel, message_type, topic, qos, None)
        return channel

    def _channel_of_thread(self, key: Key, topic: str, qos: QoSProfile) -> _Channel[Key] | None:
        """Subscribe in mode RCL; None if that is not in force, or not any more."""
        taker = self._taker
        if taker is None or self.mode_in_force != ReceiveMode.RCL:
            return None
        channel = _Channel(key, ImageSlots(taker.typesupport))
        self._subscribe(channel, Image, topic, qos, self._group)
        try:
            taker.rcl.check_subscription(channel.subscription)
            taker.rcl.post_arrivals(channel.subscription, taker.arrivals)
        except RclUnavailableError as error:
            self._node.destroy_subscription(channel.subscription)
            self._do_without_rcl(error)
            return None
        if self._thread is None:
            # A daemon: the process may end also when nobody closed the receiver.
            self._thread = threading.Thread(
                target=self._take_until_ended, args=(taker,), name="frames", daemon=True
            )
            self._thread.start()
        return channel

    def _subscribe(
        self, channel: _Channel[Key], message_type: Any, topic: str, qos: QoSProfile, group: Any
    ) -> None:
        def receive(message: bytes) -> None:
            self._hand_over(channel, np.frombuffer(message, np.uint8))

        channel.subscription = self._node.create_subscription(
            message_type, topic, receive, qos, callback_group=group, raw=True
        )

    def _do_without_rcl(self, error: Exception) -> None:
        if self._wished_mode == ReceiveMode.RCL:
            raise RclUnavailableError(
                f"frames cannot be received in mode 'rcl' ({error}); use 'auto' or 'raw'"
            ) from error
        self.mode_in_force = ReceiveMode.RAW
        self.reason = str(error)

    def _close_channel(self, channel: _Channel[Key]) -> None:
        with channel.lock:  # a frame may just be on its way
            pass
        if channel.slots is not None and self._taker is not None:
            with suppress(InvalidHandle):  # the node is gone already
                self._taker.rcl.stop_posting(channel.subscription)
        self._node.destroy_subscription(channel.subscription)

    def _end(self) -> None:
        """Let the thread end; also called when the context shuts down."""
        self._ended = True
        if self._taker is not None:
            self._taker.arrivals.post()

    def _take_until_ended(self, taker: _Taker) -> None:
        while not self._ended:
            # Topics take turns; those go on that may have another message.
            channels = list(self._channels.values())
            while channels and not self._ended:
                channels = [channel for channel in channels if self._take_one(taker.rcl, channel)]
            taker.arrivals.wait()

    def _take_one(self, rcl: RclLibrary, channel: _Channel[Key]) -> bool:
        """Take a message, if there is one, and hand it over."""
        slots = channel.slots
        if slots is None:
            return False
        try:
            image = slots.acquire()
            if not rcl.take(channel.subscription, image.address):
                slots.release(image)
                return False
        except InvalidHandle:
            return False  # removed meanwhile, or the node is gone
        except (RclError, MemoryError) as error:
            self._report(channel, error)
            return False
        try:
            frame = slots.view(image)
        except Exception as error:
            # Costs the image: the thread serves the other topics too.
            self._report(channel, error)
        else:
            self._hand_over(channel, frame)
        return True

    def _hand_over(self, channel: _Channel[Key], frame: Frame) -> None:
        with channel.lock:
            if channel.is_open:
                try:
                    self._on_frame(channel.key, frame)
                except Exception as error:
                    self._report(channel, error)

    def _report(self, channel: _Channel[Key], error: Exception) -> None:
        if not self._ended:
            try:
                self._on_error(channel.key, error)
            except Exception:
                # The thread serves the other topics too.
                self._node.get_logger().error(traceback.format_exc())
