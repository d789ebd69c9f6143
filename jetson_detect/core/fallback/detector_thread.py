"""A detector on a thread of its own, which can be given up when it does not come back."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from weakref import WeakSet

from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection

_GRACE_S = 0.05
_LAST_WAIT_S = 3.0
"""How long the end of the process waits for detectors that are at work."""


@dataclass(frozen=True, eq=False)
class _Begun:
    """Pictures that the detector has."""

    count: int
    selection: Selection
    failure: Exception | None = None
    """Why it could not begin with them."""


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
        self._batches: SimpleQueue[tuple[Sequence[Pixels], Selection] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[float, Detector | Detections | Exception]] = SimpleQueue()
        """With the time at which each was there, on the monotonic clock."""
        self._answered_at = 0.0
        self._closing = False
        self._detector: Detector | None = None
        # Daemon: a thread that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        _all.add(self)
        self._thread.start()

    @property
    def detector(self) -> Detector:
        """The detector, once it is ready; for its descriptions only."""
        if self._detector is None:
            raise RuntimeError("the detector is not ready: call wait_until_ready first")
        return self._detector

    @property
    def answered_at(self) -> float:
        """When the last answer that was waited for was there, in seconds of the monotonic clock.

        That may be long before it was waited for; 0 before the first.
        """
        return self._answered_at

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

    def submit(self, *pictures: Pixels, selection: Selection) -> None:
        """Hand over the pictures of one inference; :meth:`result` is to be called for each.

        At most as many as the detector takes: :attr:`Detector.max_batch`.
        """
        self._batches.put((pictures, selection))

    def result(self, timeout_s: float | None = None) -> Detections:
        """Wait for what was found in the oldest picture that was handed over and not answered.

        See :meth:`Detector.detect`.  What was handed over together is answered together.

        Raises
        ------
        PixelError
            If this picture is at fault.
        NoAnswerError
            If that takes longer than ``timeout_s`` seconds.  The thread must be closed then: its
            next answer would be this picture's.
        Exception
            What detecting has raised.

        """
        answer = self._next_answer(timeout_s)
        assert isinstance(answer, Detections)
        return answer

    def close(self) -> None:
        """Ask the thread to close the detector and to end, without waiting for it.

        Pictures without an answer get none any more.
        """
        self._closing = True
        self._batches.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; return whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _next_answer(self, timeout_s: float | None) -> Detector | Detections:
        try:
            self._answered_at, answer = self._answers.get(timeout=timeout_s)
        except Empty:
            # A library that is being loaded can hold up all of Python, this clock's thread and the
            # detector's alike: then the answer is only a moment away.
            try:
                self._answered_at, answer = self._answers.get(timeout=_GRACE_S)
            except Empty:
                raise NoAnswerError(f"no answer within {timeout_s:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _work(self) -> None:
        try:
            detector = self._make()
        except Exception as error:
            self._answer(error)
            return
        with detector:
            self._answer(detector)
            try:
                self._answer_frames(detector)
            except Exception as error:  # whoever waits must hear of it
                self._answer(error)

    def _answer_frames(self, detector: Detector) -> None:
        """Keep the backend busy: begin the next pictures, if some wait, before ending the last."""
        begun: deque[_Begun] = deque()
        while not self._closing:
            # More than the depth may be begun: it shrinks when memory runs out.
            if begun and (len(begun) >= detector.depth or self._batches.empty()):
                self._answer(*_finish(detector, begun.popleft()))
                continue
            batch = self._batches.get()
            if batch is None:
                return
            begun.append(_start(detector, *batch))
            del batch  # the pictures' memory may be the middleware's

    def _answer(self, *answers: Detector | Detections | Exception) -> None:
        now = time.monotonic()
        for answer in answers:
            self._answers.put((now, answer))


def _start(detector: Detector, pictures: Sequence[Pixels], selection: Selection) -> _Begun:
    """Begin an inference; a failure is told when its answer is due."""
    try:
        detector.start_batch(pictures)
    except Exception as error:
        return _Begun(len(pictures), selection, error)
    return _Begun(len(pictures), selection)


def _finish(detector: Detector, begun: _Begun) -> Sequence[Detections | Exception]:
    """Return what came of each picture: the same for all if inference failed."""
    failure = begun.failure
    if failure is None:
        try:
            return detector.finish_batch(begun.selection)
        except Exception as error:
            failure = error
    return [failure] * begun.count


_all: WeakSet[DetectorThread] = WeakSet()


@atexit.register
def _end_all() -> None:
    """Let those that are in a library come back before the interpreter ends.

    It ends a daemon thread the moment that it comes back, by unwinding its stack: through the code
    of a library that does not expect it, which aborts the process.  One that hangs never does.
    """
    threads = list(_all)
    for thread in threads:
        thread.close()
    deadline = time.monotonic() + _LAST_WAIT_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
