"""The least that starts: a node that answers each image with no detections at all."""

from __future__ import annotations

import sys
from functools import partial

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask


class EmptyNode(Node):
    """Imports nothing but rclpy and messages."""

    def __init__(self, task: NodeTask) -> None:
        """Subscribe and advertise."""
        super().__init__("empty", namespace=task.namespace)
        for images, answers in zip(task.image_topics, task.answer_topics):
            publisher = self.create_publisher(Detection2DArray, answers, 10)
            self.create_subscription(
                Image, images, partial(_on_image, publisher), qos_profile_sensor_data
            )


def _on_image(publisher: Publisher, message: Image) -> None:
    publisher.publish(Detection2DArray(header=message.header))


if __name__ == "__main__":
    sys.exit(spin(EmptyNode))
