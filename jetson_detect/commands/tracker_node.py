"""``tracker_node``: the tracker in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from jetson_detect.commands.node_command import run_node_command

if TYPE_CHECKING:
    from jetson_detect.nodes.tracker_node import TrackerNode

_DESCRIPTION = """\
Follow the objects that a detector finds: subscribes to vision_msgs/Detection2DArray on
detection_topics and publishes the same arrays with ids.  config/tracker.yaml lists all parameters.
"""
_EXAMPLES = """
examples:
  tracker_node --ros-args -p detection_topics:=[/camera/detections]
  tracker_node --ros-args -p max_age_s:=2.0 -p publish:=all
"""


def _load() -> Callable[[], TrackerNode]:
    from jetson_detect.nodes.tracker_node import TrackerNode

    return TrackerNode


def main() -> int:
    """Run the node; return the exit status."""
    return run_node_command(
        "tracker_node", _DESCRIPTION, _load, lambda node: node.start(), _EXAMPLES
    )


if __name__ == "__main__":
    sys.exit(main())
