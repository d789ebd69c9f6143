"""How a baseline's process starts, spins and stops."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from jetson_detect.benchmark.nodes.task import NodeTask


def spin(make_node: Callable[[NodeTask], Node]) -> int:
    """Run a node as tutorials do: the default executor, and no setting of any kind.

    Returns
    -------
    The exit status.

    """
    rclpy.init()
    node: Any = None
    try:
        node = make_node(NodeTask.from_argument(sys.argv[1]))
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
