"""The least that any node can do in Python: receive, resize, publish what lies ready."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from jetson_detect.benchmark.cdr import put_stamp
from jetson_detect.benchmark.nodes.direct_node import DirectNode
from jetson_detect.benchmark.nodes.letterboxing import fit
from jetson_detect.benchmark.nodes.plain_node import select
from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.nodes.usual_node import to_message
from jetson_detect.benchmark.stage_clock import Stage
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.middleware.frame_receiver import Frame
from jetson_detect.middleware.malloc_tuning import keep_large_blocks


class FloorNode(DirectNode):
    """Answers each image with the same array; only the array's stamp is the image's."""

    def __init__(self, task: NodeTask) -> None:
        """Prepare; nothing is received before all is ready."""
        self._resized = np.empty((0, 0, 3), np.uint8)
        self._answers: dict[tuple[int, int], bytearray] = {}
        """By the picture's width and height."""
        super().__init__("floor", task)

    def answer(self, frame: Frame, publisher: Publisher) -> None:
        """Resize, and publish the constant."""
        with self.clock.stage(Stage.PREPROCESS):
            header, pixels = read_image(frame)
            _, _, width, height, _ = fit(*pixels.size, self.workload.network_size)
            if self._resized.shape[:2] != (height, width):
                self._resized = np.empty((height, width, 3), np.uint8)
            cv2.resize(pixels.data, (width, height), dst=self._resized)
        with self.clock.stage(Stage.PUBLISH):
            answer = self._answer(pixels.size)
            put_stamp(answer, header.sec, header.nanosec)
            publisher.publish(bytes(answer))

    def _answer(self, size: tuple[int, int]) -> bytearray:
        answer = self._answers.get(size)
        if answer is None:
            workload = self.workload
            rows = select(workload.output, workload, *size)
            answer = bytearray(serialize_message(to_message(Header(), rows, workload.labels)))
            self._answers[size] = answer
        return answer


if __name__ == "__main__":
    keep_large_blocks()
    cv2.setNumThreads(1)  # those of a pool cost more than they bring
    sys.exit(spin(FloorNode))
