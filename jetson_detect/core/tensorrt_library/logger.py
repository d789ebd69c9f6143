"""What TensorRT logs: passed on to Python's logging, errors kept for our own messages, watched."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt

_logger = logging.getLogger("jetson_detect.tensorrt")

LogWatcher = Callable[[int, str], None]
"""Called with the level, as of :mod:`logging`, and the text of each message; must not raise."""


class ErrorLog:
    """The last errors that TensorRT reported.

    TensorRT says only that a call failed; why it did is in its log.
    """

    def __init__(self, size: int = 50) -> None:
        self._texts: deque[str] = deque(maxlen=size)
        self._count = 0

    def add(self, text: str) -> None:
        """Keep an error; the oldest goes when there are too many."""
        self._texts.append(text)
        self._count += 1

    def mark(self) -> int:
        """Return where the log stands, to ask for what comes after it."""
        return self._count

    def since(self, mark: int) -> str:
        """Return the errors after a mark, in one line; a sentence where there is none."""
        new = min(self._count - mark, len(self._texts))
        if new <= 0:
            return "TensorRT gave no reason"
        return "TensorRT: " + " | ".join(list(self._texts)[-new:])


class LogWatchers:
    """Who sees all that TensorRT logs, also what Python's logging is set to leave out."""

    def __init__(self) -> None:
        self._watchers: tuple[LogWatcher, ...] = ()

    @contextmanager
    def watching(self, watcher: LogWatcher) -> Iterator[None]:
        """Call ``watcher`` for each message that comes during a ``with`` block, in any thread."""
        self._watchers = (*self._watchers, watcher)
        try:
            yield
        finally:
            # Compared by ==: a bound method is another object each time it is asked for.
            self._watchers = tuple(other for other in self._watchers if other != watcher)

    def tell(self, level: int, text: str) -> None:
        """Pass a message on."""
        for watcher in self._watchers:
            watcher(level, text)


@cache
def logger_of(trt: ModuleType) -> tuple[trt.ILogger, ErrorLog, LogWatchers]:
    """Return the one logger of a TensorRT module, the errors that it collects, and who watches it.

    There is one for the whole life of the process: TensorRT keeps a pointer to the first logger
    that it was given, and logs through it long after the runtime that brought it has gone.
    """
    errors, watchers = ErrorLog(), LogWatchers()
    severity = trt.ILogger.Severity
    # VERBOSE is left out: a build writes hundreds of thousands of such lines.
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,
    }

    class Logger(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, msg: str) -> None:
            level = levels.get(severity)
            if level is None:
                return
            if level >= logging.ERROR:
                errors.add(msg)
            watchers.tell(level, msg)
            _logger.log(level, "%s", msg)

    return Logger(), errors, watchers
