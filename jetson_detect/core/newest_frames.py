"""The newest frame of each camera, handed to one worker in turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Frame = TypeVar("Frame")


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
        with self._condition:
            # A camera whose frames are replaced keeps its place in the queue.
            waiting = self._slots.setdefault(camera, deque())
            waiting.append(frame)
            gone = max(0, len(waiting) - keep)
            for _ in range(gone):
                waiting.popleft()
            self._condition.notify()
        return gone

    def take(self, timeout: float | None = None) -> tuple[Key, Frame] | None:
        """Take the oldest frame of the camera that has waited longest.

        Returns
        -------
        Camera and frame; None after ``timeout`` seconds or once closed.

        """
        with self._condition:
            self._condition.wait_for(lambda: self._slots or self._closed, timeout)
            if self._closed or not self._slots:
                return None
            camera = next(iter(self._slots))
            waiting = self._slots.pop(camera)
            frame = waiting.popleft()
            if waiting:
                self._slots[camera] = waiting  # behind the other cameras
            return camera, frame

    def close(self) -> None:
        """Drop what waits and wake whoever takes; every later take returns None."""
        with self._condition:
            self._closed = True
            self._slots.clear()
            self._condition.notify_all()
