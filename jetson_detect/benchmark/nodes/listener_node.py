"""Somebody who subscribes to detections, so that publishing them has its full price."""

from __future__ import annotations

import sys

from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask


class ListenerNode(Node):
    """Receives detections and drops them."""

    def __init__(self, task: NodeTask) -> None:
        """Subscribe."""
        super().__init__("listener", namespace=task.namespace)
        for topic in task.answer_topics:
            self.create_subscription(Detection2DArray, topic, lambda message: None, 10, raw=True)


if __name__ == "__main__":
    sys.exit(spin(ListenerNode))
