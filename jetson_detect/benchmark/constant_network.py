"""A backend that answers every picture alike, at once, and the model that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from jetson_detect.benchmark.nodes.letterboxing import PADDING
from jetson_detect.benchmark.workload import Workload
from jetson_detect.core.backends.base import BackendDescription, TensorInfo
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import MODEL_FILE, ModelFile

INPUT, OUTPUT = "images", "output0"
FILE = "constant.tflite"


class ConstantBackend(Closing):
    """Infers nothing: what is left of a frame's cost is everything but inference."""

    def __init__(self, workload: Workload, file: ModelFile) -> None:
        """Prepare the answer.

        Parameters
        ----------
        workload:
            What it answers.
        file:
            Whose place it takes.

        """
        size = workload.network_size
        self._input = np.zeros((1, 3, size, size), np.float32)
        self._outputs = {OUTPUT: workload.output}
        self.description = BackendDescription(
            backend="tflite",
            runtime="constant",
            device="CPU",
            file=file,
            inputs=(TensorInfo(INPUT, self._input.shape, self._input.dtype),),
            outputs=(TensorInfo(OUTPUT, workload.output.shape, workload.output.dtype),),
        )

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """The input's memory, as a real backend has it."""
        return {INPUT: self._input}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return the same tensor each time."""
        return self._outputs

    def close(self) -> None:
        """Do nothing; there is nothing to give back."""


def write_constant_model(folder: Path, workload: Workload) -> None:
    """Write the model's folder: NCHW, RGB, divided by 255 and letterboxed, as YOLO.

    Parameters
    ----------
    folder:
        Where ``model.yaml`` goes, beside an empty file that stands for the network.
    workload:
        What it shall find.

    """
    (folder / FILE).touch()
    thresholds = workload.thresholds
    document = {
        "name": "constant",
        "license": "Apache-2.0",
        "files": [{"format": "tflite", "path": FILE}],
        "input": {
            "name": INPUT,
            "width": workload.network_size,
            "height": workload.network_size,
            "layout": "NCHW",
            "color_order": "RGB",
            "mean": [0.0],
            "scale": [1 / 255],
            "resize": "letterbox",
            "padding_value": PADDING,
        },
        "head": {"type": "yolov8", "outputs": {"predictions": OUTPUT}},
        "labels": list(workload.labels),
        "thresholds": {
            "score": thresholds.score,
            "iou": thresholds.iou,
            "max_detections": thresholds.max_detections,
        },
    }
    (folder / MODEL_FILE).write_text(yaml.safe_dump(document), encoding="utf-8")
