"""What ``compare_backends`` does in processes of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jetson_detect.core.backend_measurement import (
    BackendMeasurement,
    MeasurementTask,
    measure_backend,
)
from jetson_detect.core.engines.build_progress import ProgressCallback
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.model import ModelSpec


@dataclass(frozen=True)
class EngineSearch:
    """Which engines are wanted."""

    cache: Path
    model: ModelSpec


def find_engines(search: EngineSearch, progress: ProgressCallback) -> EngineFiles:
    """Find the engines of a model; TensorRT, which this imports, is not to stay in memory."""
    from jetson_detect.core.engines.cache import EngineCache
    from jetson_detect.core.engines.lookup import EngineLookup

    with EngineLookup(EngineCache(search.cache)) as lookup:
        return lookup.find(search.model)


def measure(task: MeasurementTask, progress: ProgressCallback) -> BackendMeasurement:
    """Measure one backend on one file."""
    return measure_backend(task)
