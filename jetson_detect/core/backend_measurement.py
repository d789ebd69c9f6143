"""What one backend costs and finds, measured in a process of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from jetson_detect.core.backends import open_file
from jetson_detect.core.backends.base import BackendOptions
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.evaluation import Evaluator
from jetson_detect.core.gpu_memory import process_gpu_mb
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.process_memory import peak_resident_mb, resident_mb
from jetson_detect.core.scenes import CLASS_NAMES, SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.core.timing import DetectorLatency, Latency, time_detector

SCENES_SEED = 7
"""The demo bag's pictures, which the demo model was not trained on."""
SCENE_SIZE = (640, 480)
LOWEST_SCORE = 0.05
"""Low, as average precision wants it."""


@dataclass(frozen=True)
class MeasurementTask:
    """What is measured, and how."""

    model: ModelSpec
    choice: BackendChoice
    backend: BackendOptions = BackendOptions()
    pictures: int = 200
    """How many drawn pictures to find objects in."""
    warm_up: int = 50
    """Runs before the timed ones."""
    runs: int = 300
    """Inferences, and whole detections, that are timed; one frame is in flight."""
    started_at: float = 0.0
    """When the process was started, as ``time.time()``."""
    used_gpu_mb: float | None = None
    """:func:`~jetson_detect.core.gpu_memory.used_gpu_mb` from before that."""


@dataclass(frozen=True)
class BackendMeasurement:
    """A row of the comparison; JSON can hold it."""

    backend: str
    runtime: str
    device: str
    file: str
    precision: str
    start_up_s: float
    """From the start of the process to its first detection."""
    latency: DetectorLatency
    rss_mb: float
    """Resident memory of the process after the timed runs."""
    map50: float | None
    """Against the drawn truth; None for a model of other classes."""
    map75: float | None
    detections: tuple[Mapping[str, Any], ...]
    """Of each picture, as lists of numbers; from :data:`LOWEST_SCORE` on."""
    peak_rss_mb: float | None = None
    """The most resident memory until then; None where the kernel does not tell."""
    gpu_mb: float | None = None
    """GPU memory of the process after the timed runs; None where nobody tells."""
    warm_up: int | None = None
    """Runs before the timed ones; None if that was not written down."""

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> BackendMeasurement:
        """Read :meth:`to_json`'s answer back."""
        fields = {**document, "detections": tuple(document["detections"])}
        if "latency" in document:
            latencies = {name: Latency(**each) for name, each in document["latency"].items()}
        else:  # an older file, which has medians alone
            latencies = {
                name: Latency(fields.pop(median), math.nan, math.nan, 0)
                for name, median in (("inference", "inference_ms"), ("detection", "detect_ms"))
            }
        return cls(**{**fields, "latency": DetectorLatency(**latencies)})

    def found(self) -> list[Detections]:
        """Return what was found in each picture."""
        return [
            Detections.from_best(
                np.asarray(each["boxes"], np.float32).reshape(-1, 4),
                np.asarray(each["scores"], np.float32),
                np.asarray(each["class_ids"], np.int32),
            )
            for each in self.detections
        ]


def measure_backend(task: MeasurementTask) -> BackendMeasurement:
    """Measure in this process, which should have done nothing else before.

    Raises
    ------
    BackendError
        If it does not load or does not run.

    """
    model, choice = task.model, task.choice
    selection = replace(Selection.from_thresholds(model.thresholds), score_threshold=LOWEST_SCORE)
    scenes = SceneSequence(SCENES_SEED, *SCENE_SIZE)
    picture = Pixels.from_array(scenes.frame(0).image)
    backend = open_file(choice.backend, choice.file, task.backend)
    with Detector(model, backend) as detector:
        detector.detect(picture, selection)
        start_up_s = time.time() - task.started_at
        description = detector.description
        latency = time_detector(detector, backend, picture, selection, task.warm_up, task.runs)
        rss_mb, peak_rss_mb = resident_mb(), peak_resident_mb()
        gpu_mb = process_gpu_mb(task.used_gpu_mb)
        drawn = tuple(model.labels) == tuple(CLASS_NAMES)
        evaluator = Evaluator(model.labels)
        found = []
        for index in range(task.pictures):
            scene = scenes.frame(index)
            detections = detector.detect(Pixels.from_array(scene.image), selection)
            if drawn:
                truth = Detections.from_best(
                    scene.boxes, np.ones(len(scene.boxes), np.float32), scene.class_ids
                )
                evaluator.add(detections, truth)
            found.append(
                {
                    "boxes": detections.boxes.tolist(),
                    "scores": detections.best_scores.tolist(),
                    "class_ids": detections.best_class_ids.tolist(),
                }
            )
    evaluation = evaluator.result() if drawn else None
    return BackendMeasurement(
        description.backend,
        description.runtime,
        description.device,
        choice.file.path.name,
        choice.file.precision.value,
        start_up_s,
        latency,
        rss_mb,
        evaluation.map50 if evaluation else None,
        evaluation.map75 if evaluation else None,
        tuple(found),
        peak_rss_mb,
        gpu_mb,
        task.warm_up,
    )
