"""The node of a tutorial: right, short, and written without a thought for speed."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.benchmark.nodes.letterboxing import fit, letterbox
from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.nodes.usual_node import Row, UsualNode


class TutorialNode(UsualNode):
    """Loops over all candidates in Python, as the OpenCV example of most detectors does."""

    def __init__(self, task: NodeTask) -> None:
        """Subscribe with tutorials' own QoS: reliable, ten messages."""
        super().__init__("tutorial", task, 10)

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert colours at full size, then use numbers of 64 bits.

        As in Ultralytics' own example (examples/YOLOv8-ONNXRuntime/main.py), which many nodes are
        made of.
        """
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        scaled = np.array(letterbox(rgb, self.workload.network_size)) / 255.0
        blob: NDArray[np.float32] = np.transpose(scaled, (2, 0, 1))[None].astype(np.float32)
        return blob

    def postprocess(self, output: NDArray[np.float32], width: int, height: int) -> list[Row]:
        """Look at each candidate in turn."""
        thresholds = self.workload.thresholds
        left, top, _, _, scale = fit(width, height, self.workload.network_size)
        boxes, scores, class_ids = [], [], []
        for row in cv2.transpose(output[0]):
            class_scores = row[4:]
            class_id = np.argmax(class_scores)
            score = class_scores[class_id]
            if score >= thresholds.score:
                x, y, w, h = row[:4]
                boxes.append([x - w / 2, y - h / 2, w, h])
                scores.append(score)
                class_ids.append(class_id)
        rows: list[Row] = []
        for index in cv2.dnn.NMSBoxes(boxes, scores, thresholds.score, thresholds.iou):
            x, y, w, h = (float(each) for each in boxes[index])
            box = ((x - left) / scale, (y - top) / scale, w / scale, h / scale)
            rows.append((*box, float(scores[index]), int(class_ids[index])))
        return rows


if __name__ == "__main__":
    sys.exit(spin(TutorialNode))
