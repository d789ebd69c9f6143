"""``builder_node``: the builder of engines in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from jetson_detect.commands.node_command import run_node_command

if TYPE_CHECKING:
    from jetson_detect.nodes.builder_node import BuilderNode

_DESCRIPTION = """\
Build TensorRT engines for the models that the parameters name, prove that they find what their
source finds, and tell the detectors.  config/builder.yaml lists all parameters.
"""
_EXAMPLES = """
examples:
  builder_node --ros-args -p models:=[demo] -p precisions:=[fp16,int8]
  builder_node --ros-args -p model_folders:=[/opt/models] -p models:=[parking]
"""


def _load() -> Callable[[], BuilderNode]:
    from jetson_detect.nodes.builder_node import BuilderNode

    return BuilderNode


def main() -> int:
    """Run the node; return the exit status."""
    return run_node_command(
        "builder_node", _DESCRIPTION, _load, lambda node: node.start(), _EXAMPLES
    )


if __name__ == "__main__":
    sys.exit(main())
