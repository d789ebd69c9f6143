"""SIGINT and SIGTERM as a question that a command asks when it suits it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Takes the two signals while its ``with`` block runs, which must be in the main thread.

    The first one is remembered, so that what is being written can be finished; a second one raises
    KeyboardInterrupt, for whoever waits for something that does not look.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether one of them came."""
        return self._received is not None

    @property
    def exit_status(self) -> int:
        """What shells expect of a process that a signal ended: 130 or 143; 0 if none came."""
        return 0 if self._received is None else 128 + self._received

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number

    def __enter__(self) -> StopSignals:
        self._previous = {one: signal.signal(one, self._remember) for one in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one, handler in self._previous.items():
            signal.signal(one, handler)
