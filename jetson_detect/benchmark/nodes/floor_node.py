"""The least that any node can do in Python: receive, resize, publish what lies ready."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.cdr import put_stamp
from jetson_detect.benchmark.nodes.letterboxing import fit
from jetson_detect.benchmark.nodes.plain_node import select
from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.nodes.usual_node import to_message
from jetson_detect.benchmark.stage_clock import Stage, StageClock
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.middleware.frame_receiver import Frame, FrameReceiver
from jetson_detect.middleware.malloc_tuning import keep_large_blocks


class FloorNode(Node):
    """Answers each image with the same array; only the array's stamp is the image's.

    It does so on the thread that receives: no frame changes hands.
    """

    def __init__(self, task: NodeTask) -> None:
        """Subscribe and advertise."""
        super().__init__("floor", namespace=task.namespace)
        self._workload, self._clock = task.work.workload, StageClock(task.stages)
        self._resized = np.empty((0, 0, 3), np.uint8)
        self._answers: dict[tuple[int, int], bytearray] = {}
        """By the picture's width and height."""
        self._publishers_of = {
            images: self.create_publisher(Detection2DArray, answers, 10)
            for images, answers in zip(task.image_topics, task.answer_topics)
        }
        self._receiver = FrameReceiver[str](self, self._on_frame, self._on_error)
        for images in task.image_topics:
            self._receiver.add(images, images, qos_profile_sensor_data)

    def destroy_node(self) -> None:
        """End receiving, then the node."""
        self._receiver.close()
        super().destroy_node()

    def _on_frame(self, topic: str, frame: Frame) -> None:
        with self._clock.stage(Stage.PREPROCESS):
            header, pixels = read_image(frame)
            _, _, width, height, _ = fit(*pixels.size, self._workload.network_size)
            if self._resized.shape[:2] != (height, width):
                self._resized = np.empty((height, width, 3), np.uint8)
            cv2.resize(pixels.data, (width, height), dst=self._resized)
        with self._clock.stage(Stage.PUBLISH):
            answer = self._answer(pixels.size)
            put_stamp(answer, header.sec, header.nanosec)
            self._publishers_of[topic].publish(bytes(answer))

    def _on_error(self, topic: str, error: Exception) -> None:
        self.get_logger().error(f"{topic}: {error!r}")

    def _answer(self, size: tuple[int, int]) -> bytearray:
        answer = self._answers.get(size)
        if answer is None:
            workload = self._workload
            rows = select(workload.output, workload, *size)
            answer = bytearray(serialize_message(to_message(Header(), rows, workload.labels)))
            self._answers[size] = answer
        return answer


if __name__ == "__main__":
    keep_large_blocks()
    sys.exit(spin(FloorNode))
