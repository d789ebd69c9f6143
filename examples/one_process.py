#!/usr/bin/env python3
"""Detector, tracker and a node of your own in one process and one executor.

Start it with a camera of drawn scenes beside it, and stop it with Ctrl-C::

    ros2 run jetson_detect scene_camera
    python3 one_process.py

The nodes of this package are ordinary rclpy nodes: they take the arguments of ``rclpy.node.Node``,
and ``start()`` configures and activates them.  ``run_nodes`` does the rest: SIGINT and SIGTERM end
all of them cleanly.  Without a node of your own, ``ros2 run jetson_detect detect_and_track`` is the
same.
"""

import sys
from functools import partial

from rclpy.node import Node
from rclpy.parameter import Parameter
from vision_msgs.msg import Detection2DArray

from jetson_detect.nodes.detector_node import DetectorNode
from jetson_detect.nodes.entry import run_nodes
from jetson_detect.nodes.managed_node import ManagedNode
from jetson_detect.nodes.tracker_node import TrackerNode


class Greeter(Node):
    """Says which objects are new, as an example of what listens to tracks."""

    def __init__(self) -> None:
        super().__init__("greeter")
        self._known: set[str] = set()
        self.create_subscription(Detection2DArray, "tracks", self._greet, 10)

    def _greet(self, message: Detection2DArray) -> None:
        for detection in message.detections:
            if detection.id not in self._known:
                self._known.add(detection.id)
                name = detection.results[0].hypothesis.class_id
                self.get_logger().info(f"a new {name}: number {detection.id}")


def start(node: Node) -> None:
    """Start a node that has a life cycle."""
    if isinstance(node, ManagedNode):
        node.start()


def main() -> int:
    """Run the three until they are told to stop; return the exit status."""
    # Weak detections too: they go on with a track, but begin none.
    weak_too = [Parameter("score_threshold", value=0.1)]
    return run_nodes(
        # Whoever listens to another stands before it.
        [Greeter, TrackerNode, partial(DetectorNode, parameter_overrides=weak_too)],
        start,
        sys.argv,
    )


if __name__ == "__main__":
    sys.exit(main())
