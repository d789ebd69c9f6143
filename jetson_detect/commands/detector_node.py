"""``detector_node``: the detector in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from jetson_detect.commands.node_command import run_node_command

if TYPE_CHECKING:
    from jetson_detect.nodes.detector_node import DetectorNode

_DESCRIPTION = """\
Detect objects in camera images: subscribes to sensor_msgs/Image on image_topics and publishes
vision_msgs/Detection2DArray beside each.  config/detector.yaml lists all parameters.
"""
_EXAMPLES = """
examples:
  detector_node --ros-args -p image_topics:=[/camera/image_raw]
  detector_node --ros-args -p model:=/path/to/model_folder -p score_threshold:=0.4
"""


def _load() -> Callable[[], DetectorNode]:
    from jetson_detect.nodes.detector_node import DetectorNode

    return DetectorNode


def main() -> int:
    """Run the node; return the exit status."""
    return run_node_command(
        "detector_node", _DESCRIPTION, _load, lambda node: node.start(), _EXAMPLES
    )


if __name__ == "__main__":
    sys.exit(main())
