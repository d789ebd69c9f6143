"""What one backend costs and finds, measured in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from jetson_detect.core.backends import BackendOptions, open_file
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.evaluation import Evaluator
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.process_memory import resident_mb
from jetson_detect.core.scenes import CLASS_NAMES, SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.core.timing import time_runs

SCENES_SEED = 7
"""The demo bag's pictures, which the demo model was not trained on."""
SCENE_SIZE = (640, 480)
LOWEST_SCORE = 0.05
"""Low, as average precision wants it."""
_WARM_UP_RUNS = 30


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
    inference_ms: float
    """Median of the backend alone."""
    detect_ms: float
    """Median from a picture to its detections."""
    rss_mb: float
    """Resident memory of the process after that."""
    map50: float | None
    """Against the drawn truth; None for a model of other classes."""
    map75: float | None
    detections: tuple[Mapping[str, Any], ...]
    """Of each picture, as lists of numbers; from :data:`LOWEST_SCORE` on."""

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> BackendMeasurement:
        """Read :meth:`to_json`'s answer back."""
        return cls(**{**document, "detections": tuple(document["detections"])})

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


def measure_backend(
    model: ModelSpec,
    choice: BackendChoice,
    options: BackendOptions,
    pictures: int,
    runs: int,
    started_at: float,
) -> BackendMeasurement:
    """Measure in this process, which should have done nothing else before.

    Parameters
    ----------
    model, choice, options:
        What to run and how.
    pictures:
        How many drawn pictures to find objects in.
    runs:
        How many runs to take the medians of.
    started_at:
        When the process was started, as ``time.time()``.

    Raises
    ------
    BackendError
        If it does not load or does not run.

    """
    selection = replace(Selection.from_thresholds(model.thresholds), score_threshold=LOWEST_SCORE)
    scenes = SceneSequence(SCENES_SEED, *SCENE_SIZE)
    picture = Pixels.from_array(scenes.frame(0).image)
    backend = open_file(choice.backend, choice.file, options)
    with Detector(model, backend) as detector:
        detector.detect(picture, selection)
        start_up_s = time.time() - started_at
        description = detector.description
        names = {info.name: info for info in description.inputs}
        name = detector.input_name
        tensor, _ = Preprocessor(model.input, names[name])(picture)
        inference = time_runs(lambda: backend.run({name: tensor}), _WARM_UP_RUNS, runs)
        whole = time_runs(lambda: detector.detect(picture, selection), _WARM_UP_RUNS, runs)
        rss_mb = resident_mb()
        drawn = tuple(model.labels) == tuple(CLASS_NAMES)
        evaluator = Evaluator(model.labels)
        found = []
        for index in range(pictures):
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
        float(np.median(inference)),
        float(np.median(whole)),
        rss_mb,
        evaluation.map50 if evaluation else None,
        evaluation.map75 if evaluation else None,
        tuple(found),
    )
