"""A detector that tells what each of its stages costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.benchmark.stage_clock import Stage, StageClock
from jetson_detect.core.backends import Backend, PipelinedBackend
from jetson_detect.core.backends.wrapping import WrappedBackend
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection


class StagedDetector(Detector):
    """As :class:`Detector`, with the steps of each frame on a clock."""

    def __init__(self, model: ModelSpec, backend: Backend, clock: StageClock) -> None:
        """Fit model and backend together; see :class:`Detector`."""
        super().__init__(model, backend)
        self._clock = clock
        self._backend = _ClockedBackend(self._backend, clock)

    def prepare(self, pixels: Pixels, index: int = 0) -> ImageTransform:
        """Fit a picture into the network's input; see :meth:`Detector.prepare`."""
        with self._clock.stage(Stage.PREPROCESS):
            return super().prepare(pixels, index)

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        transform: ImageTransform,
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Detections:
        """Turn outputs into detections; see :meth:`Detector.decode`."""
        with self._clock.stage(Stage.POSTPROCESS):
            return super().decode(outputs, transform, selection, among)


class _ClockedBackend(WrappedBackend[PipelinedBackend]):
    """What the backend does for a frame is inference."""

    def __init__(self, backend: PipelinedBackend, clock: StageClock) -> None:
        super().__init__(backend)
        self._clock = clock

    @property
    def depth(self) -> int:
        return self._backend.depth

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        with self._clock.stage(Stage.INFER):
            return super().run(inputs)

    def start(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        with self._clock.stage(Stage.INFER):
            self._backend.start(inputs)

    def finish(self) -> Mapping[str, NDArray[Any]]:
        with self._clock.stage(Stage.INFER):
            return self._backend.finish()
