"""A good node as most people write it: rclpy, cv_bridge, OpenCV and vectorised NumPy."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.qos import qos_profile_sensor_data

from jetson_detect.benchmark.nodes.letterboxing import fit, letterbox
from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.nodes.usual_node import Row, UsualNode
from jetson_detect.benchmark.workload import Workload


class PlainNode(UsualNode):
    """No loop over candidates, and rclpy's own QoS for sensors."""

    def __init__(self, task: NodeTask) -> None:
        """Subscribe best effort, five messages."""
        super().__init__("plain", task, qos_profile_sensor_data)

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :func:`letterbox_and_scale`."""
        return letterbox_and_scale(image, self.workload.network_size)

    def postprocess(self, output: NDArray[np.float32], width: int, height: int) -> list[Row]:
        """See :func:`select`."""
        return select(output, self.workload, width, height)


def letterbox_and_scale(
    image: NDArray[np.uint8], size: int, interpolation: int = cv2.INTER_LINEAR
) -> NDArray[np.float32]:
    """Letterbox in bytes, then scale and transpose.

    Parameters
    ----------
    image:
        (H, W, 3), BGR.
    size:
        Width and height of the network's input.
    interpolation:
        One of OpenCV's.

    Returns
    -------
    (1, 3, size, size): RGB from 0 to 1.

    """
    boxed = letterbox(image, size, interpolation)
    rgb = cv2.cvtColor(boxed, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])


def select(output: NDArray[np.float32], workload: Workload, width: int, height: int) -> list[Row]:
    """Threshold, decode and suppress.

    Parameters
    ----------
    output:
        (1, 4 + classes, candidates), as :attr:`Workload.output`.
    workload:
        Thresholds and the network's size.
    width, height:
        Size of the picture in pixels.

    Returns
    -------
    The objects, best first, in pixels of the picture.

    """
    thresholds = workload.thresholds
    left, top, _, _, scale = fit(width, height, workload.network_size)
    predictions = output[0].T
    scores = predictions[:, 4:].max(axis=1)
    found = scores >= thresholds.score
    predictions, scores = predictions[found], scores[found]
    class_ids = predictions[:, 4:].argmax(axis=1)
    boxes = (predictions[:, :4] - np.array([left, top, 0, 0])) / scale
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), thresholds.score, thresholds.iou)
    return [(*boxes[index].tolist(), float(scores[index]), int(class_ids[index])) for index in kept]


if __name__ == "__main__":
    sys.exit(spin(PlainNode))
