"""The detector that a bag is run through without a node."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from jetson_detect.core.backends import BackendError, BackendOptions
from jetson_detect.core.backends.choice import (
    AUTO,
    NO_ENGINES,
    check_names,
    find_choices,
    has_gpu,
)
from jetson_detect.core.closing import Closing
from jetson_detect.core.detector import Detector
from jetson_detect.core.detector_loading import load_detector
from jetson_detect.core.engines.cache import EngineCache
from jetson_detect.core.engines.cache_folder import CacheError, default_cache_folder
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.engines.lookup import EngineLookup
from jetson_detect.core.model import ModelSpec, Precision, load_model
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model


@dataclass(frozen=True)
class OfflineOptions:
    """Which model runs a bag, on what, and what it reports."""

    model: str = "demo"
    """A folder with a ``model.yaml``, or the name of one that comes with the package."""
    backends: tuple[str, ...] = (AUTO,)
    """What may run it, best first; the first one that loads does, to the end."""
    precision: Precision | None = None
    """Take only files of this precision."""
    threads: int = BackendOptions.threads
    """CPU threads of an inference; 0 leaves the choice to the backend."""
    score_threshold: float | None = None
    iou_threshold: float | None = None
    max_detections: int | None = None
    """None for the model's own."""

    def __post_init__(self) -> None:
        """Check the names of the backends.

        Raises
        ------
        ValueError
            If one is unknown or comes twice, or there is none.

        """
        check_names(self.backends)

    def selection(self, model: ModelSpec) -> Selection:
        """Return what is reported of a model's candidates."""
        wanted = {
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "max_detections": self.max_detections,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return replace(Selection.from_thresholds(model.thresholds), **given)  # type: ignore[arg-type]


class OfflineDetector(Closing):
    """A detector, warm, and how it was chosen; a context manager.

    Unlike the node's, it stays with its backend: a run in which another one took over half way
    would compare nothing.
    """

    detector: Detector
    selection: Selection
    refusals: tuple[str, ...]
    """Backends that were wanted before the one that runs, each with its reason."""

    def __init__(self, options: OfflineOptions) -> None:
        """Load the first backend that works.

        Raises
        ------
        ModelError
            If the model cannot be read.
        BackendError
            If no backend loads, with each one's reason.

        """
        model = load_model(find_model(options.model))
        self.selection = options.selection(model)
        with ExitStack() as stack:
            engines = _find_engines(model, options.backends, stack)
            choices, missing = find_choices(model, options.backends, options.precision, engines)
            refusals = [f"{each.backend}: {each.reason}" for each in missing if each.expected]
            run_options = BackendOptions(threads=options.threads)
            for choice in choices:
                try:
                    self.detector = load_detector(model, run_options, choice)
                except (BackendError, ValueError) as error:
                    refusals.append(f"{choice}: {error}")
                else:
                    stack.callback(self.detector.close)
                    break
            else:
                reasons = refusals or [f"{each.backend}: {each.reason}" for each in missing]
                raise BackendError(
                    f"model '{model.name}' runs on none of {', '.join(options.backends)}:\n  "
                    + "\n  ".join(reasons)
                )
            self.refusals = tuple(refusals)
            self._stack = stack.pop_all()

    @property
    def environment(self) -> dict[str, str]:
        """What ran, for reports."""
        running = self.detector.description
        return {
            "model": self.detector.model.name,
            "backend": running.backend,
            "runtime": running.runtime,
            "device": running.device,
            "file": running.file.path.name,
            "precision": running.file.precision.value,
        }

    def close(self) -> None:
        """Close the detector; may be called twice."""
        self._stack.close()


def _find_engines(model: ModelSpec, names: Sequence[str], stack: ExitStack) -> EngineFiles:
    """Return the engines that were built for the model here, held until the stack unwinds."""
    if {AUTO, "tensorrt"}.isdisjoint(names) or not has_gpu():
        return NO_ENGINES
    try:
        lookup = stack.enter_context(EngineLookup(EngineCache(default_cache_folder())))
    except CacheError as error:
        return EngineFiles(refusals=(str(error),))
    return lookup.find(model)
