"""What is said again and again, said now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable


class Throttle:
    """Lets one message through in each period, of each thing that messages are about.

    rclpy's ``throttle_duration_sec`` counts by the place in the code: there, what is said of one
    camera keeps silent what is to be said of the next.
    """

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing said.

        Parameters
        ----------
        period_s:
            Seconds from one message to the next.
        clock:
            Returns seconds.

        """
        self._period_s = period_s
        self._clock = clock
        self._said: dict[Hashable, float] = {}

    def permits(self, about: Hashable = None) -> bool:
        """Whether it is time for a message about this; then it counts as said."""
        now = self._clock()
        if now - self._said.get(about, -math.inf) < self._period_s:
            return False
        self._said[about] = now
        return True
