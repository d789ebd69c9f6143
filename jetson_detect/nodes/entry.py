"""How a node's process starts, spins and stops."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions, uninstall_signal_handlers

from jetson_detect.middleware.malloc_tuning import keep_large_blocks
from jetson_detect.nodes.parameters import ParameterError
from jetson_detect.transport import use_shared_memory_profile

N = TypeVar("N", bound=Node)


_SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep Python from the others that want it.

A node has several, and what waits is most often a frame: with Python's own 5 ms it waited up to
that long behind a thread that computes.
"""


_PATIENCE_S = 1.0
"""How long a signal has to end the node before another one may do so."""
_AGAIN_S = 0.01
"""After which a signal is sent again whose exception Python has ignored."""


class StartError(RuntimeError):
    """A node that cannot start; it has logged why."""


class _StopSignals:
    """SIGINT and SIGTERM raise KeyboardInterrupt in the main thread: the first of them.

    So does one that comes much later, as long as nothing was torn down: somebody may have caught
    the first one's.  Where Python ignores exceptions, as in ``__del__``, it is raised again.

    rclpy's own answer to SIGTERM is not enough: it wakes the executor and then shuts the context
    down, and an executor that is back at waiting by then waits for ever.  rclpy calls this first.
    """

    def __init__(self) -> None:
        self._is_stopping = False
        """Whether further signals are without effect."""
        self._raised_at = -math.inf
        self._on_unraisable = sys.unraisablehook
        self._on_sigterm = signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._is_stopping or now < self._raised_at + _PATIENCE_S:
            return
        self._raised_at = now
        sys.unraisablehook = self._tell_unraisable
        raise KeyboardInterrupt

    def _tell_unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Say nothing of what comes of the signal.

        An object that was broken off in its ``__init__``, as rclpy's tasks are, misses attributes
        in its ``__del__``.
        """
        if unraisable.exc_type is KeyboardInterrupt:
            self._raised_at = -math.inf
            again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
            return
        name = getattr(unraisable.object, "__name__", "")
        if name != "__del__" or unraisable.exc_type is not AttributeError:
            self._on_unraisable(unraisable)

    @contextlib.contextmanager
    def ignored(self) -> Iterator[None]:
        """Do what must not be broken off; SIGINT stays ignored, SIGTERM is as it was before."""
        self._is_stopping = True
        # rclpy answers a signal in a thread of its own.  This waits for its end, so that it does
        # not touch what is destroyed meanwhile.
        uninstall_signal_handlers()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        yield
        signal.signal(signal.SIGTERM, self._on_sigterm)
        sys.unraisablehook = self._on_unraisable


def run_node(
    make_node: Callable[[], N],
    start: Callable[[N], None] = lambda node: None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Make a node, start it and spin it until told to stop, as :func:`run_nodes` does."""
    return run_nodes([make_node], start, arguments)


def run_nodes(
    make_nodes: Sequence[Callable[[], N]],
    start: Callable[[N], None] = lambda node: None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Make nodes, start them and spin them in one executor until the process is told to stop.

    SIGINT and SIGTERM end them cleanly at any moment.  While a node is still being made, they
    invalidate the ROS context under it, and whatever it does next may fail; such a failure is the
    stop that was asked for.

    Parameters
    ----------
    make_nodes:
        Each makes a node.  All are made before the first is started, in this order; they end in the
        opposite one, so whoever listens to another comes before it.
    start:
        Called with each node before they are spun.
    arguments:
        A command line, its program first, for its ``--ros-args``; None for this process's.

    Returns
    -------
    The exit status: 0 after a stop that was asked for, 1 if a node cannot start.

    """
    started = spinning = False
    nodes: list[N] = []
    executor: SingleThreadedExecutor | None = None
    signals = _StopSignals()
    try:
        # Before there is a thread: the middleware's keep the heap that they begin with.
        keep_large_blocks()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        use_shared_memory_profile()
        rclpy.init(args=None if arguments is None else list(arguments))
        started = True
        # Before the nodes: one that is broken off while it is made prints a traceback as it goes,
        # and whoever sees that a node is there may stop it.
        executor = SingleThreadedExecutor()
        for make_node in make_nodes:
            nodes.append(make_node())
        # Apart from making them: what is broken off here has to be destroyed.
        for node in nodes:
            start(node)
        for node in nodes:
            executor.add_node(node)
        spinning = True
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
        with signals.ignored():
            _tear_down(nodes, executor, spinning)
    return 0


def _tear_down(
    nodes: Sequence[Node], executor: SingleThreadedExecutor | None, spinning: bool
) -> None:
    """Destroy what exists."""
    if executor is not None:
        executor.shutdown()
    for node in reversed(nodes):
        try:
            node.destroy_node()
        except Exception:
            # What a signal broke off while it was started may be half made, for rclpy too.
            if spinning:
                raise
    if not spinning:
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
