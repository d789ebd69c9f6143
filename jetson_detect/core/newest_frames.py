"""The newest frame of each camera, handed to one worker in turn."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Frame = TypeVar("Frame")

_WEIGHT = 1 / 8
"""Of the newest interval in a camera's period; that of RFC 6298's smoothed round trips."""


@dataclass(eq=False)
class _Rhythm:
    """When a camera's frames come, in seconds of the monotonic clock."""

    last: float
    waits_since: float
    """When the first of its frames came that nobody has taken."""
    served: int = 0
    """Which of all frames that were taken was its last."""
    period: float = math.inf
    """From one frame to the next, smoothed; infinite until there were two."""

    def beat(self, now: float) -> None:
        """Take note of a frame."""
        interval = now - self.last
        if math.isinf(self.period):
            self.period = interval
        else:
            self.period += _WEIGHT * (interval - self.period)
        self.last = now

    def is_due(self, now: float, until: float) -> bool:
        """Whether a frame is to be expected by then: not of a camera that has left one out."""
        due = self.last + self.period
        return due <= until and now <= due + self.period


class NewestFrames(Generic[Key, Frame]):
    """A slot for each camera: a newer frame replaces those that nobody took.

    Unless it is told to keep them: while a backend is being exchanged, a library that is loaded may
    hold up all of Python, and the frames that pile up meanwhile come all at once.

    Cameras take turns: the one served last comes last again, so that a fast camera cannot keep
    a slow one waiting.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._slots: dict[Key, deque[Frame]] = {}
        self._rhythms: dict[Key, _Rhythm] = {}
        self._woken = False
        self._taken = 0
        """How many frames, so far."""
        self._closed = False

    def put(self, camera: Key, frame: Frame, keep: int = 1) -> int:
        """Offer a frame.

        Parameters
        ----------
        camera, frame:
            The frame and whose it is.
        keep:
            How many frames of this camera may wait, this one included; the oldest go.

        Returns
        -------
        How many frames went that were never taken.

        """
        now = time.monotonic()
        with self._condition:
            waiting = self._slots.setdefault(camera, deque())
            rhythm = self._rhythms.get(camera)
            if rhythm is None:
                rhythm = self._rhythms[camera] = _Rhythm(now, now)
            else:
                rhythm.beat(now)
            if not waiting:
                rhythm.waits_since = now
            waiting.append(frame)
            gone = max(0, len(waiting) - keep)
            for _ in range(gone):
                waiting.popleft()
            self._condition.notify()
        return gone

    def take(self, timeout: float | None = None) -> tuple[Key, Frame] | None:
        """Take the oldest frame of the camera that was served longest ago.

        Returns
        -------
        Camera and frame; None after ``timeout`` seconds or once closed.

        """
        taken = self.take_batch(1, timeout)
        return taken[0] if taken else None

    def take_batch(
        self, limit: int, timeout: float | None = None, wait_s: float = 0.0
    ) -> list[tuple[Key, Frame]]:
        """Take the oldest frame of each camera, of many of those that were served longest ago.

        Parameters
        ----------
        limit:
            How many frames at most.
        timeout:
            How many seconds to wait for the first; None for ever.
        wait_s:
            How many seconds a frame may wait, from its arrival on, for those of other cameras.
            That is done only while one of them has a frame to come by then, by the period of its
            last frames: never if all that send are there, or not at the same time.

        Returns
        -------
        Cameras, each once, and frames; empty after ``timeout`` seconds, when woken or once closed.

        """
        with self._condition:
            self._condition.wait_for(lambda: self._slots or self._woken or self._closed, timeout)
            self._woken = False
            if wait_s > 0.0 and self._slots:
                self._wait_for_others(limit, wait_s)
            if self._closed:
                return []
            cameras = list(self._slots)
            if len(cameras) > 1:
                # Not those that wait longest: of cameras that send together it would always be the
                # same one that fills up a batch.
                cameras.sort(key=lambda camera: self._rhythms[camera].served)
            return [(camera, self._pop(camera)) for camera in cameras[:limit]]

    def wake(self) -> None:
        """Have whoever takes, or comes to take next, not wait for a frame."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def close(self) -> None:
        """Drop what waits and wake whoever takes; every later take returns None."""
        with self._condition:
            self._closed = True
            self._slots.clear()
            self._condition.notify_all()

    def _pop(self, camera: Key) -> Frame:
        """Take the oldest frame of a camera, with the condition held."""
        self._taken += 1
        self._rhythms[camera].served = self._taken
        waiting = self._slots[camera]
        frame = waiting.popleft()
        if not waiting:
            del self._slots[camera]
        return frame

    def _wait_for_others(self, limit: int, wait_s: float) -> None:
        """Wait, with the condition held, while another camera's frame is due."""
        until = min(self._rhythms[camera].waits_since for camera in self._slots) + wait_s
        while not self._closed and len(self._slots) < limit:
            now = time.monotonic()
            if now >= until or not any(
                rhythm.is_due(now, until)
                for camera, rhythm in self._rhythms.items()
                if camera not in self._slots
            ):
                return
            self._condition.wait(until - now)
