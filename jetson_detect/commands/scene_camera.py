"""``scene_camera``: publish drawn scenes, images or videos as a camera would."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from jetson_detect.commands.node_command import run_node_command

if TYPE_CHECKING:
    from jetson_detect.nodes.scene_camera_node import SceneCameraNode

_DESCRIPTION = """\
A camera without a camera: publishes drawn scenes with their ground truth, or the images and videos
of a folder, as image_raw at a steady rate.
"""
_EXAMPLES = """
examples:
  scene_camera --ros-args -r __ns:=/camera -p rate:=15.0
  scene_camera --ros-args -r __ns:=/camera -p source:=/path/to/folder -p loop:=false
"""


def _load() -> type[SceneCameraNode]:
    from jetson_detect.nodes.scene_camera_node import SceneCameraNode

    return SceneCameraNode


def main() -> int:
    """Run the node until it has shown everything or is told to stop; return the exit status."""
    return run_node_command("scene_camera", _DESCRIPTION, _load, examples=_EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
