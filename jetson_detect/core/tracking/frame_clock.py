"""How many frames have passed between two stamps."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import NamedTuple

from jetson_detect.core.stamp_time import SECOND_NS

_GAPS_KEPT = 31
_GAPS_NEEDED = 5
"""Before so many are known, one of them may well be a pause."""


class Advance(NamedTuple):
    """What has happened since the last frame."""

    missed: int
    """Frames that should have been there in between."""
    went_back: bool
    """Whether time jumped back: a bag that began again, or a clock that was set."""


class FrameClock:
    """Counts frames by their stamps, for trackers that know no time but the frame."""

    def __init__(self, frame_rate: float = 0.0) -> None:
        """Begin without a frame.

        Parameters
        ----------
        frame_rate:
            Frames a second; 0 to learn it from the stamps: the median of the last gaps counts.

        """
        self._given_ns = round(SECOND_NS / frame_rate) if frame_rate > 0.0 else None
        self._gaps: deque[int] = deque(maxlen=_GAPS_KEPT)
        self._last_ns: int | None = None
        self.standing = 0
        """Frames in a row, the last one among them, whose stamp was not later than those before:
        of a camera without a clock that is all but the first."""

    @property
    def period_ns(self) -> int | None:
        """From one frame to the next; None while it is not known."""
        if self._given_ns is not None:
            return self._given_ns
        return round(median(self._gaps)) if len(self._gaps) >= _GAPS_NEEDED else None

    def advance(self, stamp_ns: int) -> Advance:
        """Take the next frame's stamp.

        A stamp that is earlier than the last by less than a frame is a clock's jitter, not a jump.
        """
        last, period = self._last_ns, self.period_ns
        self._last_ns = stamp_ns
        if last is None:
            return Advance(0, went_back=False)
        gap = stamp_ns - last
        if gap <= 0:
            went_back = gap < 0 and (period is None or -gap >= period)
            self.standing = 0 if went_back else self.standing + 1
            if not went_back:
                self._last_ns = last
            return Advance(0, went_back)
        self.standing = 0
        self._gaps.append(gap)
        missed = round(gap / period) - 1 if period is not None else 0
        return Advance(max(0, missed), went_back=False)
