"""A detector that is ready for its first picture."""

from __future__ import annotations

from jetson_detect.core.backends import BackendOptions, open_file
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import ModelSpec


def load_detector(model: ModelSpec, options: BackendOptions, choice: BackendChoice) -> Detector:
    """Load a backend and run it once.

    Raises
    ------
    BackendError, ModelError, ValueError
        If it does not load, does not fit the model or does not run.

    """
    backend = open_file(choice.backend, choice.file, options)
    try:
        detector = Detector(model, backend)
        detector.warm_up()
    except BaseException:
        backend.close()
        raise
    return detector
