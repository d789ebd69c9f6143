"""The detector node itself, with the workload's constant output or with a real model."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter

from jetson_detect.benchmark.constant_network import ConstantBackend, write_constant_model
from jetson_detect.benchmark.nodes.task import NodeTask, NodeWork
from jetson_detect.benchmark.stage_clock import Stage, StageClock
from jetson_detect.benchmark.staged_detector import StagedDetector
from jetson_detect.core.backends import Backend, BackendOptions, open_file
from jetson_detect.core.backends.choice import AUTO, BackendChoice
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import ModelSpec
from jetson_detect.nodes.camera_channel import CameraChannel
from jetson_detect.nodes.detector_config import NO_CACHE
from jetson_detect.nodes.detector_node import DetectorNode
from jetson_detect.nodes.entry import run_node


class _MeasuredDetector:
    """Makes the node's detectors."""

    def __init__(self, work: NodeWork, clock: StageClock) -> None:
        self._work, self._clock = work, clock

    def __call__(
        self, model: ModelSpec, options: BackendOptions, choice: BackendChoice
    ) -> Detector:
        backend: Backend
        if self._work.model:
            backend = open_file(choice.backend, choice.file, options)
        else:
            backend = ConstantBackend(self._work.workload, choice.file)
        detector = StagedDetector(model, backend, self._clock)
        detector.warm_up()
        return detector


def _make_node(task: NodeTask, model: str) -> DetectorNode:
    clock = StageClock(task.stages)
    publish = CameraChannel.publish

    def measured_publish(*arguments: Any) -> None:
        with clock.stage(Stage.PUBLISH):
            publish(*arguments)

    CameraChannel.publish = measured_publish  # type: ignore[assignment, method-assign]
    settings: dict[str, Any] = {"model": model, "image_topics": list(task.image_topics)}
    if task.work.model:
        settings |= {"require": task.work.backend, "precision": task.work.precision or AUTO}
    else:
        settings |= {"require": "tflite", "engine_cache": NO_CACHE}
    return DetectorNode(
        make_detector=_MeasuredDetector(task.work, clock),
        namespace=task.namespace,
        parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()],
    )


def main() -> int:
    """Run the node; return the exit status."""
    task = NodeTask.from_argument(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        if not task.work.model:
            write_constant_model(Path(folder), task.work.workload)
        return run_node(
            lambda: _make_node(task, task.work.model or folder), lambda node: node.start(), []
        )


if __name__ == "__main__":
    sys.exit(main())
