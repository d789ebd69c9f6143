"""Work that takes long, done on a thread while the executor goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from rclpy.node import Node
from rclpy.task import Future

T = TypeVar("T")


async def run_aside(node: Node, work: Callable[[], T]) -> T:
    """Return what some work returns; awaited in a callback whose group is reentrant.

    Parameters
    ----------
    node:
        Whose executor runs the callback.
    work:
        Called on a thread of its own; what it raises is raised here.

    """
    executor = node.executor
    done = Future(executor=executor)

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        # Nothing else tells it to look at what waits for the result.
        with contextlib.suppress(RuntimeError):  # an invalid handle: it is gone already
            executor.wake()

    threading.Thread(target=run, name="aside", daemon=True).start()
    result: T = await done
    return result
