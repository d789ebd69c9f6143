"""The detector's own steps one after the other, without what makes a node of them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
from rclpy.publisher import Publisher

from jetson_detect.benchmark.constant_network import ConstantBackend, write_constant_model
from jetson_detect.benchmark.nodes.direct_node import DirectNode
from jetson_detect.benchmark.nodes.spinning import spin
from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.stage_clock import Stage
from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detections import ClassIdFormat
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import load_model
from jetson_detect.core.selection import Selection
from jetson_detect.middleware.frame_receiver import Frame
from jetson_detect.middleware.malloc_tuning import keep_large_blocks


class InlineNode(DirectNode):
    """The detector and the writer of messages on the thread that receives.

    No backend behind it could fail, hang or be exchanged: what the detector node costs more than
    this is the price of that, of its parameters and of its diagnostics.
    """

    def __init__(self, task: NodeTask) -> None:
        """Prepare; nothing is received before all is ready."""
        workload = task.work.workload
        with tempfile.TemporaryDirectory() as folder:
            write_constant_model(Path(folder), workload)
            model = load_model(Path(folder))
        self._detector = Detector(model, ConstantBackend(workload, model.files[0]))
        self._selection = Selection.from_thresholds(model.thresholds)
        self._write = DetectionWriter(model.labels)
        super().__init__("inline", task)

    def answer(self, frame: Frame, publisher: Publisher) -> None:
        """Detect, and publish the detections."""
        detector, clock = self._detector, self.clock
        with clock.stage(Stage.PREPROCESS):
            header, pixels = read_image(frame)
            transform = detector.prepare(pixels)
        with clock.stage(Stage.INFER):
            outputs = detector.infer()
        with clock.stage(Stage.POSTPROCESS):
            found = detector.decode(outputs, transform, self._selection)
        with clock.stage(Stage.PUBLISH):
            publisher.publish(bytes(self._write(found, header, ClassIdFormat.LABEL)))


if __name__ == "__main__":
    keep_large_blocks()
    cv2.setNumThreads(1)  # as the detector node does
    sys.exit(spin(InlineNode))
