"""What nodes usually do with messages, as most people write it: the baselines share it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.stage_clock import Stage, StageClock

Row = tuple[float, float, float, float, float, int]
"""Left, top, width, height, score and class of an object."""


class UsualNode(Node):
    """Typed messages in and out, and a copy of each picture as cv_bridge makes it."""

    def __init__(self, name: str, task: NodeTask, qos: Any) -> None:
        """Subscribe and advertise.

        Parameters
        ----------
        name:
            The node's.
        task:
            What it is to do.
        qos:
            Of the images: a profile, or a depth.

        """
        super().__init__(name, namespace=task.namespace)
        self.workload = task.work.workload
        self._measured = StageClock(task.stages)
        for images, answers in zip(task.image_topics, task.answer_topics):
            publisher = self.create_publisher(Detection2DArray, answers, 10)
            self.create_subscription(Image, images, partial(self._on_image, publisher), qos)

    @abstractmethod
    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Make the network's input of an (H, W, 3) BGR picture: (1, 3, h, w), RGB from 0 to 1."""

    @abstractmethod
    def postprocess(self, output: NDArray[np.float32], width: int, height: int) -> Sequence[Row]:
        """Return the objects in pixels of a picture of this size; see :attr:`Workload.output`."""

    def _on_image(self, publisher: Publisher, message: Image) -> None:
        with self._measured.stage(Stage.PREPROCESS):
            image = imgmsg_to_cv2(message)
            self.preprocess(image)
        with self._measured.stage(Stage.INFER):
            output = self.workload.output
        with self._measured.stage(Stage.POSTPROCESS):
            rows = self.postprocess(output, message.width, message.height)
        with self._measured.stage(Stage.PUBLISH):
            publisher.publish(to_message(message.header, rows, self.workload.labels))


def imgmsg_to_cv2(message: Image) -> NDArray[np.uint8]:
    """Return a copy of a bgr8 image, at the cost of cv_bridge's ``imgmsg_to_cv2(…, "bgr8")``.

    cv_bridge (https://github.com/ros-perception/vision_opencv, cv_bridge/core.py) views the data as
    an array and hands it to ``cvtColor2``, which copies it where the encodings are the same.  It is
    not on PyPI, so that this stands in for it: (H, W, 3), BGR.
    """
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    image = rows[:, : message.width * 3].reshape(message.height, message.width, 3)
    copied: NDArray[np.uint8] = image.copy()
    return copied


def to_message(header: Header, rows: Sequence[Row], labels: Sequence[str]) -> Detection2DArray:
    """Make one message object for each object that was found, as the examples of vision_msgs do."""
    array = Detection2DArray()
    array.header = header
    for left, top, width, height, score, class_id in rows:
        detection = Detection2D()
        detection.header = header
        detection.bbox.center.position.x = left + width / 2
        detection.bbox.center.position.y = top + height / 2
        detection.bbox.size_x = width
        detection.bbox.size_y = height
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = labels[class_id]
        hypothesis.hypothesis.score = score
        detection.results.append(hypothesis)
        array.detections.append(detection)
    return array
