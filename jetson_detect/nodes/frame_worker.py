"""The thread on which frames are answered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rclpy.context import Context

from jetson_detect.conversion.detections import ClassIdFormat
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.camera_views import ViewedPicture
from jetson_detect.core.fallback import FallbackChain
from jetson_detect.core.model import InputSpec
from jetson_detect.core.newest_frames import NewestFrames
from jetson_detect.core.selection import Selection
from jetson_detect.middleware.frame_receiver import Frame
from jetson_detect.nodes.camera_channel import CameraChannel


@dataclass(frozen=True, eq=False)
class Service:
    """What answers frames, and how."""

    chain: FallbackChain
    selection: Selection
    class_id_format: ClassIdFormat = ClassIdFormat.LABEL
    pipelining: bool = True
    """Whether the next frames may be begun before the last are answered."""
    max_batch: int = 1
    """How many cameras' frames may go into one inference, where the backend takes several."""
    max_wait_s: float = 0.0
    """How long a frame waits for those of other cameras that are due."""
    wants: Callable[[CameraChannel, FrameHeader], bool] = lambda channel, header: True
    """Whether a frame whose turn has come is still to be answered."""
    network: InputSpec | None = None
    """What pictures are shown to: no more of them is decoded than that needs."""


@dataclass
class BatchCounts:
    """How many frames went into how many inferences."""

    calls: int = 0
    frames: int = 0
    batched_calls: int = 0
    """Those of more than one frame."""

    @property
    def mean_size(self) -> float:
        """Frames in an inference; 0 before the first."""
        return self.frames / self.calls if self.calls else 0.0

    def add(self, frames: int) -> None:
        """Count an inference."""
        self.calls += 1
        self.frames += frames
        self.batched_calls += frames > 1


Exchanged = Callable[[Service, Service], None]
"""Is told the service before and the one after."""


@dataclass(frozen=True, eq=False)
class _Submitted:
    """A frame that the chain works on."""

    channel: CameraChannel
    header: FrameHeader
    seen: ViewedPicture


class FrameWorker:
    """Answers the newest frame of each camera in turn, on a thread of its own.

    A backend that can hold several is given the next frame, if one waits, before the last is
    answered; with none waiting each is answered as soon as it can be.  One that takes several at
    once is given a frame of each camera that has one.

    What answers is asked for before each frame.  When that is another chain than before, all that
    the old one has is answered by it first; then whoever exchanged it is told, on this thread, and
    the new one begins: no frame is lost, and none is answered by both.
    """

    def __init__(
        self,
        service: Callable[[], Service],
        context: Context,
        on_exchange: Exchanged = lambda before, after: None,
    ) -> None:
        """Start to answer frames.

        Parameters
        ----------
        service:
            Tells what answers frames now; called on the thread, before each frame.
        context:
            Of the node: without it there is nowhere left to publish to.
        on_exchange:
            Is told, on the thread and between two frames, that another chain answers from now on;
            the one before has nothing left to do.

        """
        self._ask = service
        self._context = context
        self._on_exchange = on_exchange
        self._frames: NewestFrames[CameraChannel, Frame] = NewestFrames()
        self._service = service()
        self._submitted: deque[Sequence[_Submitted]] = deque()
        """By inference, the oldest first."""
        self.counts = BatchCounts()
        """Since the start."""
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    def put(self, channel: CameraChannel, frame: Frame, keep: int = 1) -> int:
        """Offer a frame; see :meth:`NewestFrames.put`, also for what is returned."""
        return self._frames.put(channel, frame, keep)

    def look_again(self) -> None:
        """Ask what answers now also if no frame comes: so that an exchange is not put off."""
        self._frames.wake()

    def close(self, timeout_s: float) -> bool:
        """Drop what waits, and wait until what is in work is answered.

        Returns
        -------
        Whether the thread has ended.

        """
        self._closing = True
        self._frames.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- on the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        """Answer frames until there are no more."""
        while True:
            service = self._current()
            taken: Sequence[tuple[CameraChannel, Frame]] = ()
            depth = service.chain.depth if service.pipelining else 1
            if len(self._submitted) < depth:
                taken = self._take(service)
            if taken:
                # What answers may have been exchanged while these were waited for.
                self._submit(self._current(), taken)
                # A frame's memory is the receiver's: it gets it back as soon as it can.
                taken = ()
            elif self._submitted:
                self._answer(service)
            elif self._closing:
                return

    def _take(self, service: Service) -> Sequence[tuple[CameraChannel, Frame]]:
        """Take what goes into one inference; wait for it only if nothing else is to be done."""
        limit = min(service.max_batch, service.chain.max_batch)
        if self._submitted:
            return self._frames.take_batch(limit, 0.0)
        return self._frames.take_batch(limit, None, service.max_wait_s)

    def _current(self) -> Service:
        """Return what answers now; if that is another chain, finish with the one before."""
        before = self._service
        # Who closes this may have nothing left that answers.
        after = before if self._closing else self._ask()
        if after is not before:
            if after.chain is not before.chain:
                while self._submitted:
                    self._answer(before)
                self._on_exchange(before, after)
            self._service = after
        return after

    def _submit(self, service: Service, taken: Sequence[tuple[CameraChannel, Frame]]) -> None:
        """Let the chain begin with frames, without those that are bad or too late."""
        frames = []
        for channel, frame in taken:
            try:
                header, picture = channel.read(frame)
                if service.wants(channel, header):
                    seen = channel.look(picture, service.network)
                    frames.append(_Submitted(channel, header, seen))
            except Exception as error:
                channel.report_bad_frame(error)
        if frames:
            service.chain.submit(
                *(frame.seen.pixels for frame in frames), selection=service.selection
            )
            self._submitted.append(frames)
            self.counts.add(len(frames))

    def _answer(self, service: Service) -> None:
        """Publish what was found in the frames of the oldest inference."""
        for frame in self._submitted.popleft():
            try:
                detections = service.chain.result()
                frame.channel.publish(detections, frame.header, frame.seen, service.class_id_format)
            except Exception as error:
                if self._context.ok():  # else the process is stopping and the publishers are gone
                    frame.channel.report_bad_frame(error)
