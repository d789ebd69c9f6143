"""How the machine is, asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from jetson_detect.core.board_health.judgement import Concern, Seriousness, judge
from jetson_detect.core.board_health.reading import BoardReading

_READ_S = 5.0
"""Some of the files ask the board's firmware, which takes milliseconds each."""
_REMEMBER_S = 60.0
"""How long what happened in between, as an over-current event, is still told."""


@dataclass(frozen=True)
class BoardHealth:
    """How the machine is, and what to do about it."""

    reading: BoardReading
    concerns: tuple[Concern, ...]
    """The most serious first."""

    @property
    def worst(self) -> Seriousness:
        """HINT if there is nothing to worry about."""
        return self.concerns[0].seriousness if self.concerns else Seriousness.HINT


class BoardWatch:
    """Reads the machine's state, but not more often than makes sense."""

    def __init__(
        self, read: Callable[[], BoardReading], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take a note of how to read; nothing is read yet.

        Parameters
        ----------
        read:
            As :meth:`BoardFiles.read`.
        clock:
            Seconds, never going back.

        """
        self._read = read
        self._clock = clock
        self._health: BoardHealth | None = None
        self._read_at = 0.0
        self._events: dict[str, tuple[Concern, float]] = {}
        """What happened between two readings last, and when that was noticed."""

    def health(self) -> BoardHealth:
        """Return how the machine is, or was a few seconds ago."""
        now = self._clock()
        if self._health is not None and now - self._read_at < _READ_S:
            return self._health
        reading = self._read()
        before = self._health.reading if self._health is not None else None
        concerns = []
        for concern in judge(reading, before, now - self._read_at):
            if concern.event:
                self._events[concern.event] = concern, now
            else:
                concerns.append(concern)
        concerns += [each for each, when in self._events.values() if now - when < _REMEMBER_S]
        self._health = BoardHealth(
            reading, tuple(sorted(concerns, key=lambda each: -each.seriousness.value))
        )
        self._read_at = now
        return self._health
