"""A bag played several times over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from jetson_detect.bags.frames import Frame
from jetson_detect.core.stamp_time import SECOND_NS

_LONE_FRAME_NS = SECOND_NS // 10
"""Time that a single frame takes before it comes again: nothing says how fast the camera was."""


def looped(play: Callable[[], Iterator[Frame]], times: int) -> Iterator[Frame]:
    """Play a bag over and over; each pass follows the last after the mean time between two frames.

    Parameters
    ----------
    play
        Begins a pass.
    times
        How many; 0 never ends, unless the bag holds no frame.

    """
    period = 0
    for loop in count() if times == 0 else range(times):
        first = last = None
        moments = 0
        for frame in play():
            now = frame.image.timestamp
            if first is None:
                first = now
            if now != last:
                moments += 1
            last = now
            yield frame if loop == 0 else replace(frame, loop=loop, delay_ns=loop * period)
        if first is None or last is None:
            return
        if loop == 0:
            length = last - first
            period = length + (length // (moments - 1) if moments > 1 else _LONE_FRAME_NS)
