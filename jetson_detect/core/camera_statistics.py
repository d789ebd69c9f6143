"""What became of a camera's frames: rates, latencies, and why some were dropped."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np

RATE_WINDOW_S = 5.0
"""Rates are those of the last seconds."""
_TIMES = 256
"""Times kept for a rate: a camera of 50 Hz fills the window, of a faster one less of it counts."""
_LATENCIES = 1024


class DropReason(Enum):
    """Why a frame got no answer."""

    REPLACED = "replaced"
    """A newer one came before its turn."""
    TOO_OLD = "too old"
    """Its stamp was older than ``max_age_s`` when its turn came."""
    BAD_IMAGE = "bad image"
    """It could not be read."""
    FAILED_INFERENCE = "failed inference"
    """No backend answered it."""
    DISABLED = "disabled"
    """The detector was told not to process frames."""


@dataclass(frozen=True)
class CameraReport:
    """What became of a camera's frames since the statistics were reset."""

    received: int
    answered: int
    dropped: Mapping[DropReason, int]
    """Each reason, those with none too."""
    input_hz: float
    """Frames received a second, over the last :data:`RATE_WINDOW_S`."""
    output_hz: float
    """Frames answered a second, over the last :data:`RATE_WINDOW_S`."""
    latency_p50_s: float | None
    """From the header's stamp to the answer; None where no stamp could be compared."""
    latency_p99_s: float | None
    silent_s: float
    """Since the last frame, or since frames were first expected."""
    since_s: float
    """Since the statistics were reset."""

    @property
    def failed(self) -> int:
        """Frames that something was wrong with, or with what was to answer them."""
        return self.dropped[DropReason.BAD_IMAGE] + self.dropped[DropReason.FAILED_INFERENCE]


class CameraStatistics:
    """Counts one camera's frames, on whichever thread something happens to them.

    Its memory is taken once: what is counted for each frame allocates nothing that stays.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count.

        Parameters
        ----------
        clock:
            Seconds, never going back: rates and silence are those of the wall, whatever time is
            simulated.

        """
        self._clock = clock
        self._lock = threading.Lock()
        self._input, self._output = _Times(), _Times()
        self._latencies = _Ring(_LATENCIES)
        self._last_frame = clock()
        self.has_received = False
        """Whether a frame has ever come; a reset does not change that."""
        self.reset()

    def reset(self) -> None:
        """Count anew; how long the camera has been silent stays known."""
        with self._lock:
            self._received = self._answered = 0
            self._dropped = dict.fromkeys(DropReason, 0)
            for ring in (self._input, self._output, self._latencies):
                ring.clear()
            self._since = self._clock()

    def forget_latencies(self) -> None:
        """Leave out what was measured by a clock that has jumped."""
        with self._lock:
            self._latencies.clear()

    def expect_frames(self) -> None:
        """Begin to count how long there is nothing."""
        with self._lock:
            self._last_frame = self._clock()

    def receive(self) -> None:
        """Count a frame that has come."""
        now = self._clock()
        with self._lock:
            self._received += 1
            self.has_received = True
            self._last_frame = now
            self._input.add(now)

    def answer(self, latency_s: float | None) -> None:
        """Count an answer.

        Parameters
        ----------
        latency_s:
            Since the header's stamp.  None, or below zero (the stamp is ahead of the clock, or the
            clock has gone back since), says nothing and is left out.

        """
        now = self._clock()
        with self._lock:
            self._answered += 1
            self._output.add(now)
            if latency_s is not None and latency_s >= 0.0:
                self._latencies.add(latency_s)

    def drop(self, reason: DropReason, count: int = 1) -> int:
        """Count frames that get no answer; return how many that makes for this reason."""
        with self._lock:
            self._dropped[reason] += count
            return self._dropped[reason]

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame, or since frames were first expected."""
        return self._clock() - self._last_frame

    def report(self) -> CameraReport:
        """Tell what was counted."""
        now = self._clock()
        with self._lock:
            latencies = self._latencies.values()
            p50, p99 = (
                np.percentile(latencies, (50, 99)).tolist() if len(latencies) else (None,) * 2
            )
            return CameraReport(
                received=self._received,
                answered=self._answered,
                dropped=MappingProxyType(dict(self._dropped)),
                input_hz=self._input.rate(now),
                output_hz=self._output.rate(now),
                latency_p50_s=p50,
                latency_p99_s=p99,
                silent_s=now - self._last_frame,
                since_s=now - self._since,
            )


class _Ring:
    """The last numbers, in memory that is taken once."""

    def __init__(self, size: int) -> None:
        self._numbers = array("d", bytes(8 * size))
        self._added = 0

    def add(self, number: float) -> None:
        self._numbers[self._added % len(self._numbers)] = number
        self._added += 1

    def clear(self) -> None:
        self._added = 0

    def values(self) -> np.ndarray:
        """Return what is kept, in no order: a view."""
        return np.frombuffer(self._numbers, np.float64)[: self._added]


class _Times(_Ring):
    """When something happened last."""

    def __init__(self) -> None:
        super().__init__(_TIMES)

    def rate(self, now: float) -> float:
        """Return how often a second: intervals over their duration, of the window's times."""
        times = self.values()
        recent = times[times > now - RATE_WINDOW_S]
        if len(recent) < 2:
            return 0.0
        duration = float(recent.max() - recent.min())
        return (len(recent) - 1) / duration if duration > 0.0 else 0.0
