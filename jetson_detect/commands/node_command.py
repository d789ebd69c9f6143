"""What the command lines of all nodes share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from jetson_detect.commands.stop_signals import ended_by_signals

if TYPE_CHECKING:
    from rclpy.node import Node

N = TypeVar("N", bound="Node")

_EPILOG = """\
ROS arguments come after --ros-args:
  -p NAME:=VALUE         set a parameter; ros2 param describe tells what there is
  --params-file FILE     set parameters from a file
  -r FROM:=TO            rename a topic; __ns:=/front and __node:=eye rename the node
  --log-level LEVEL      debug, info, warn, error or fatal
"""


def run_node_command(
    name: str,
    description: str,
    load: Callable[[], Callable[[], N]],
    start: Callable[[N], None] = lambda node: None,
    examples: str = "",
) -> int:
    """Run a node until it has ended or is told to stop.

    Parameters
    ----------
    name, description, examples:
        For ``--help``.
    load:
        Imports the node's module and returns what makes the node.  Called late: ``--help`` must
        not take the second that imports take.
    start:
        Called with the node before it is spun.

    Returns
    -------
    The exit status.

    """
    try:
        argparse.ArgumentParser(
            prog=name,
            description=description,
            epilog=_EPILOG + examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        ).parse_known_args()
        with ended_by_signals():
            make_node = load()

            from jetson_detect.nodes.entry import run_node

        return run_node(make_node, start)
    except KeyboardInterrupt:
        return 0
