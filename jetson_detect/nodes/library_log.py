"""What the core says through Python's logging, in the node's own log."""

from __future__ import annotations

import logging
from typing import Any

from rclpy.node import Node

_CORE = "jetson_detect"
_TENSORRT = "jetson_detect.tensorrt"
_REMEMBERED = 1000


class LibraryLog(logging.Handler):
    """Passes the core's records on to a node's logger, each text once.

    A backend that is tried again and again would else repeat its warnings for ever.  TensorRT's own
    errors are for the debug level: the error that the core raises holds them.
    """

    def __init__(self, node: Node) -> None:
        """Listen from now on, until :meth:`close`."""
        super().__init__(logging.DEBUG)
        self._node_logger: Any = node.get_logger()
        self._context = node.context
        self._seen: set[str] = set()
        core = logging.getLogger(_CORE)
        core.addHandler(self)
        core.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        text = record.getMessage()
        handlers = logging.getLogger(_CORE).handlers
        if [each for each in handlers if isinstance(each, LibraryLog)][-1:] != [self]:
            return  # of several nodes in a process one passes it on, the youngest
        if not self._context.ok() or text in self._seen:
            return
        if len(self._seen) < _REMEMBERED:
            self._seen.add(text)
        # One call for each level: rclpy ties a level to the line that logs.
        if record.levelno < logging.WARNING or (
            record.name == _TENSORRT and (record.levelno >= logging.ERROR)
        ):
            self._node_logger.debug(text)
        elif record.levelno < logging.ERROR:
            self._node_logger.warning(text)
        else:
            self._node_logger.error(text)

    def close(self) -> None:
        """Listen no longer."""
        logging.getLogger(_CORE).removeHandler(self)
        super().close()
