"""``detect_and_track``: detector, tracker and, if wanted, builder in one process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from jetson_detect.commands.stop_signals import ended_by_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from jetson_detect.nodes.managed_node import ManagedNode

_DESCRIPTION = """\
Run the detector and the tracker in one process, and with --builder the builder of engines too.
What follows --detector, --tracker or --builder, up to the next of them or --ros-args, is for that
node alone: ROS arguments such as -p, --params-file and -r __node:=NAME.
"""
_EPILOG = """\
ROS arguments for all of them come after --ros-args:
  -r __ns:=/front        their namespace
  --log-level LEVEL      debug, info, warn, error or fatal

examples:
  detect_and_track --detector -p model:=demo -p score_threshold:=0.1 --tracker -p max_age_s:=2.0
  detect_and_track --tracker --params-file tracker.yaml --ros-args -r __ns:=/front
"""
_ALL = "--ros-args"
_TRACKER, _DETECTOR, _BUILDER = "--tracker", "--detector", "--builder"
_SECTIONS = (_TRACKER, _DETECTOR, _BUILDER, _ALL)


def split_sections(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Split a command line into what stands before the first section, and the sections.

    A section that comes twice goes on.  What follows ``--ros-args`` is ROS's to the end.
    """
    before: list[str] = []
    sections: dict[str, list[str]] = {}
    into = before
    for argument in arguments:
        if argument in _SECTIONS and into is not sections.get(_ALL):
            into = sections.setdefault(argument, [])
        else:
            into.append(argument)
    return before, sections


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nodes until they are told to stop; return the exit status."""
    try:
        before, sections = split_sections(sys.argv[1:] if arguments is None else arguments)
        argparse.ArgumentParser(
            prog="detect_and_track",
            usage="detect_and_track [--detector …] [--tracker …] [--builder …] [--ros-args …]",
            description=_DESCRIPTION,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        ).parse_args(before)
        return _run(sections)
    except KeyboardInterrupt:
        return 0


def _run(sections: dict[str, list[str]]) -> int:
    # Imported here so that --help answers at once.
    with ended_by_signals():
        from jetson_detect.nodes.entry import run_nodes

        nodes = _node_types(building=_BUILDER in sections)
    make_nodes = [
        partial(_make, make_node, section, sections.get(section, []))
        for section, make_node in nodes.items()
    ]
    everyone = sections.get(_ALL, [])
    return run_nodes(make_nodes, lambda node: node.start(), ["detect_and_track", _ALL, *everyone])


def _node_types(*, building: bool) -> dict[str, Callable[..., ManagedNode]]:
    """Import the nodes, by their section of the command line.

    Whoever listens comes first: nothing is lost at the start, and at the end the last answers still
    get their ids.
    """
    from jetson_detect.nodes.detector_node import DetectorNode
    from jetson_detect.nodes.tracker_node import TrackerNode

    nodes: dict[str, Callable[..., ManagedNode]] = {_TRACKER: TrackerNode, _DETECTOR: DetectorNode}
    if building:
        from jetson_detect.nodes.builder_node import BuilderNode

        nodes[_BUILDER] = BuilderNode
    return nodes


def _make(
    make_node: Callable[..., ManagedNode], section: str, arguments: Sequence[str]
) -> ManagedNode:
    from jetson_detect.nodes.entry import StartError

    try:
        return make_node(cli_args=[_ALL, *arguments])
    except RuntimeError as error:  # what rclpy says of arguments that it does not understand
        raise StartError(f"{section} {' '.join(arguments)}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
