"""What TensorRT logs: passed on to Python's logging, and its errors kept for our own messages."""

from __future__ import annotations

import logging
from collections import deque
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt

_logger = logging.getLogger("jetson_detect.tensorrt")


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


@cache
def logger_of(trt: ModuleType) -> tuple[trt.ILogger, ErrorLog]:
    """Return the one logger that a TensorRT module is given, and the errors that it collects.

    There is one for the whole life of the process: TensorRT keeps a pointer to the first logger
    that it was given, and logs through it long after the runtime that brought it has gone.
    """
    errors = ErrorLog()
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
            _logger.log(level, "%s", msg)

    return Logger(), errors
