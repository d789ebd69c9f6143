"""A detector on a thread of its own, which can be given up when it does not come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection

_GRACE_S = 0.05


class NoAnswerError(RuntimeError):
    """The detector has not come back in time; it may still be at work."""


class DetectorThread(Closing):
    """Makes a detector, uses it and closes it, all on one thread.

    CUDA contexts belong to a thread, and a library that hangs can only be left alone: this is the
    thread that then stays behind.  It closes its detector by itself if it ever comes back.
    Used by one other thread at a time.
    """

    def __init__(self, make: Callable[[], Detector], name: str) -> None:
        """Start to make a detector; :meth:`wait_until_ready` tells how it went."""
        self._make = make
        self._frames: SimpleQueue[tuple[Pixels, Selection] | None] = SimpleQueue()
        self._answers: SimpleQueue[Detector | Detections | Exception] = SimpleQueue()
        self._detector: Detector | None = None
        # Daemon: a thread that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def detector(self) -> Detector:
        """The detector, once it is ready; for its descriptions only."""
        if self._detector is None:
            raise RuntimeError("the detector is not ready: call wait_until_ready first")
        return self._detector

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until the detector is made.

        Raises
        ------
        NoAnswerError
            If that takes longer than ``timeout_s`` seconds.
        Exception
            What making it has raised.

        """
        answer = self._next_answer(timeout_s)
        assert isinstance(answer, Detector)
        self._detector = answer

    def detect(
        self, pixels: Pixels, selection: Selection, timeout_s: float | None = None
    ) -> Detections:
        """Find the objects in a picture; see :meth:`Detector.detect`.

        Raises
        ------
        NoAnswerError
            If that takes longer than ``timeout_s`` seconds.  The thread must be closed then: its
            next answer would be this picture's.

        """
        self._frames.put((pixels, selection))
        answer = self._next_answer(timeout_s)
        assert isinstance(answer, Detections)
        return answer

    def close(self) -> None:
        """Ask the thread to close the detector and to end, without waiting for it."""
        self._frames.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; return whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _next_answer(self, timeout_s: float | None) -> Detector | Detections:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except Empty:
            # A library that is being loaded can hold up all of Python, this clock's thread and the
            # detector's alike: then the answer is only a moment away.
            try:
                answer = self._answers.get(timeout=_GRACE_S)
            except Empty:
                raise NoAnswerError(f"no answer within {timeout_s:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _work(self) -> None:
        try:
            detector = self._make()
        except Exception as error:
            self._answers.put(error)
            return
        with detector:
            self._answers.put(detector)
            while (frame := self._frames.get()) is not None:
                try:
                    self._answers.put(detector.detect(*frame))
                except Exception as error:
                    self._answers.put(error)
                del frame  # the picture's memory may be the middleware's
