"""SIGINT and SIGTERM: as a question that a command asks when it suits it, or as the end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
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


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the first of the two signals end the process, with status 0, in the main thread.

    For the imports of a node, when there is nothing yet to be given back.  An exception would be
    lost where Python ignores them, as in the callbacks by which it gives import locks back: the
    node would start, and nobody would stop it.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(0)

    previous = {one: signal.signal(one, end) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
