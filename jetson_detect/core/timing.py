"""How long something takes, called again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import Backend
from jetson_detect.core.detector import Detector
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.selection import Selection


@dataclass(frozen=True)
class Latency:
    """How long something takes, over a number of runs in a row."""

    p50_ms: float
    p95_ms: float
    mean_ms: float
    runs: int

    @property
    def per_second(self) -> float:
        """The throughput, one after the other."""
        return 1e3 / self.mean_ms

    @classmethod
    def of(cls, times_ms: NDArray[np.float64]) -> Latency:
        """Summarise (N,) times in ms."""
        p50, p95 = np.percentile(times_ms, (50, 95)).tolist()
        return cls(p50, p95, float(times_ms.mean()), len(times_ms))


@dataclass(frozen=True)
class DetectorLatency:
    """How long a detector takes, with one frame in flight."""

    inference: Latency
    """Of the backend alone, from tensor to tensors."""
    detection: Latency
    """From a picture to its detections."""


def time_runs(run: Callable[[], object], warm_up: int, runs: int) -> NDArray[np.float64]:
    """Call something ``warm_up`` times, then time it.

    Returns
    -------
    (runs,): milliseconds of each call.

    """
    for _ in range(warm_up):
        run()
    times = np.empty(runs)
    for index in range(runs):
        start = time.perf_counter()
        run()
        times[index] = time.perf_counter() - start
    return times * 1e3


def time_detector(
    detector: Detector,
    backend: Backend,
    pixels: Pixels,
    selection: Selection,
    warm_up: int,
    runs: int,
) -> DetectorLatency:
    """Time a detector and the backend that it runs on one picture.

    Parameters
    ----------
    detector, backend:
        The detector, and the backend that it was made with.
    pixels, selection:
        What it detects in, and which candidates it reports.
    warm_up, runs:
        Calls of each before the timed ones, and timed calls.

    Raises
    ------
    BackendError
        If a run fails.

    """
    name = detector.input_name
    (info,) = (each for each in detector.description.inputs if each.name == name)
    # As the detector does: into the backend's own memory, where it has any.
    preprocess = Preprocessor(detector.model.input, info, backend.input_arrays.get(name))
    tensor, _ = preprocess(pixels)
    inference = time_runs(lambda: backend.run({name: tensor}), warm_up, runs)
    detection = time_runs(lambda: detector.detect(pixels, selection), warm_up, runs)
    return DetectorLatency(Latency.of(inference), Latency.of(detection))
