"""How a node's process starts, spins and stops."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from jetson_detect.nodes.parameters import ParameterError


class StartError(RuntimeError):
    """A node that cannot start; it has logged why."""


def run_node(make_node: Callable[[], Node], arguments: Sequence[str] | None = None) -> int:
    """Make a node and spin it until the process is told to stop.

    SIGINT and SIGTERM end it cleanly at any moment.  While the node is still being made, SIGTERM
    invalidates the ROS context under it, and whatever it does next fails; such a failure is the
    stop that was asked for.

    Returns
    -------
    The exit status: 0 after a stop that was asked for, 1 if the node cannot start.

    """
    started = False
    node: Node | None = None
    executor: SingleThreadedExecutor | None = None
    try:
        rclpy.init(args=None if arguments is None else list(arguments))
        started = True
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (StartError, ParameterError) as error:
        if rclpy.ok():
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
    except Exception:
        if rclpy.ok() or not started:
            raise
    finally:
        _tear_down(node, executor)
    return 0


def _tear_down(node: Node | None, executor: SingleThreadedExecutor | None) -> None:
    """Destroy what exists; a second Ctrl-C must not leave a traceback behind."""
    try:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
