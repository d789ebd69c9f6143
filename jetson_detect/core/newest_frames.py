"""The newest frame of each camera, handed to one worker in turn."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Frame = TypeVar("Frame")


class NewestFrames(Generic[Key, Frame]):
    """A slot for each camera: a newer frame replaces one that nobody took.

    Cameras take turns: the one served last comes last again, so that a fast camera cannot keep
    a slow one waiting.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._slots: dict[Key, Frame] = {}
        self._closed = False

    def put(self, camera: Key, frame: Frame) -> bool:
        """Offer a frame; return whether it replaced one that was never taken."""
        with self._condition:
            replaced = camera in self._slots
            # A replaced frame keeps its camera's place in the queue.
            self._slots[camera] = frame
            self._condition.notify()
        return replaced

    def take(self, timeout: float | None = None) -> tuple[Key, Frame] | None:
        """Take the frame of the camera that has waited longest.

        Returns
        -------
        Camera and frame; None after ``timeout`` seconds or once closed.

        """
        with self._condition:
            self._condition.wait_for(lambda: self._slots or self._closed, timeout)
            if self._closed or not self._slots:
                return None
            camera = next(iter(self._slots))
            return camera, self._slots.pop(camera)

    def close(self) -> None:
        """Drop what waits and wake whoever takes; every later take returns None."""
        with self._condition:
            self._closed = True
            self._slots.clear()
            self._condition.notify_all()
