"""How a node's process starts, spins and stops."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from jetson_detect.middleware.malloc_tuning import keep_large_blocks
from jetson_detect.nodes.parameters import ParameterError
from jetson_detect.transport import use_shared_memory_profile

N = TypeVar("N", bound=Node)


_SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep Python from the others that want it.

A node has several, and what waits is most often a frame: with Python's own 5 ms it waited up to
that long behind a thread that computes.
"""


class StartError(RuntimeError):
    """A node that cannot start; it has logged why."""


def run_node(
    make_node: Callable[[], N],
    start: Callable[[N], None] = lambda node: None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Make a node, start it and spin it until the process is told to stop.

    SIGINT and SIGTERM end it cleanly at any moment.  While the node is still being made, SIGTERM
    invalidates the ROS context under it, and whatever it does next fails; such a failure is the
    stop that was asked for.

    Returns
    -------
    The exit status: 0 after a stop that was asked for, 1 if the node cannot start.

    """
    started = False
    node: N | None = None
    executor: SingleThreadedExecutor | None = None
    try:
        # Before there is a thread: the middleware's keep the heap that they begin with.
        keep_large_blocks()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        use_shared_memory_profile()
        rclpy.init(args=None if arguments is None else list(arguments))
        started = True
        node = make_node()
        # Apart from making it: what is broken off here has to be destroyed.
        start(node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (StartError, ParameterError) as error:
        if rclpy.ok():
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
    except Exception as error:
        if not started:  # what rclpy says of arguments that it does not understand
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
        if rclpy.ok():
            raise
    finally:
        _tear_down(node, executor)
    return 0


def _tear_down(node: Node | None, executor: SingleThreadedExecutor | None) -> None:
    """Destroy what exists; further Ctrl-C must not leave a traceback behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if executor is not None:
        executor.shutdown()
    if node is not None:
        node.destroy_node()
    else:
        # One that was broken off while it was made holds a part of the middleware, and itself.
        gc.collect()
    rclpy.try_shutdown()


@contextlib.contextmanager
def ros_executor(arguments: Sequence[str]) -> Iterator[SingleThreadedExecutor]:
    """Keep ROS up for a command that spins by itself; gives it an executor.

    The context is its own, so nodes are made with ``context=executor.context``.  ROS's signal
    handlers stay down: they would break off what the command must finish.

    Args:
        arguments: a command line, for its ``--ros-args``.
    """
    use_shared_memory_profile()
    context = Context()
    rclpy.init(
        args=list(arguments), context=context, signal_handler_options=SignalHandlerOptions.NO
    )
    try:
        executor = SingleThreadedExecutor(context=context)
        try:
            yield executor
        finally:
            executor.shutdown()
    finally:
        rclpy.try_shutdown(context=context)
