"""Picture in, detections out: a model, the backend that runs it and the head that decodes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jetson_detect.core.backends.base import Backend, BackendDescription, BackendError
from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.heads import make_head
from jetson_detect.core.heads.proposal import resolve_head
from jetson_detect.core.model import HeadSpec, ModelSpec
from jetson_detect.core.output_check import OutputCheck
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.selection import Candidates, Selection, keep_best, suppress


class Detector(Closing):
    """Detects objects; owns its backend.  Used by one thread at a time."""

    def __init__(self, model: ModelSpec, backend: Backend) -> None:
        """Fit model and backend together.

        Raises
        ------
        ModelError, BackendError, ValueError
            If the backend's tensors are not the ones that the model names.

        """
        description = backend.description
        file = description.file
        if file.head is not None:
            model = replace(model, head=file.head)
        self._model = model
        self._backend = backend
        inputs = {info.name: info for info in description.inputs}
        name = file.tensor_name(model.input.name) if model.input.name else None
        if name is None and len(inputs) == 1:
            name = next(iter(inputs))
        if name is None or name not in inputs:
            raise BackendError(
                f"{file.path}: has no input '{name}', but {', '.join(inputs)}; "
                f"name one of them as input.name in {model.source}"
            )
        outputs = {info.name: info for info in description.outputs}
        self._head_spec = resolve_head(model, description.outputs)
        self._parts = {
            part: file.tensor_name(wanted) for part, wanted in self._head_spec.outputs.items()
        }
        missing = sorted(set(self._parts.values()) - set(outputs))
        if missing:
            raise BackendError(
                f"{file.path}: has no output {', '.join(missing)}, but {', '.join(outputs)}; "
                f"correct head.outputs or this file's tensors in {model.source}"
            )
        self._checks = {part: OutputCheck(outputs[out]) for part, out in self._parts.items()}
        self._input_name = name
        self._preprocess = Preprocessor(model.input, inputs[name], backend.input_arrays.get(name))
        self._head = make_head(
            replace(model, head=self._head_spec),
            {part: outputs[out] for part, out in self._parts.items()},
        )

    @property
    def head_spec(self) -> HeadSpec:
        """The head that decodes: what the model says, or what was proposed for ``type: auto``."""
        return self._head_spec

    @property
    def model(self) -> ModelSpec:
        """The model that runs."""
        return self._model

    @property
    def description(self) -> BackendDescription:
        """The backend that runs it."""
        return self._backend.description

    @property
    def input_name(self) -> str:
        """The backend's input that takes the picture."""
        return self._input_name

    def detect(self, pixels: Pixels, selection: Selection) -> Detections:
        """Find the objects in a picture.

        Returns
        -------
        Detections in pixels of the picture, clipped to it; possibly none.

        Raises
        ------
        BackendError
            If inference fails or returns numbers that are not finite.

        """
        tensor, transform = self._preprocess(pixels)
        outputs = self._backend.run({self._input_name: tensor})
        parts = {part: outputs[name] for part, name in self._parts.items()}
        for part, check in self._checks.items():
            check(parts[part])
        candidates = self._head.decode(parts, selection)
        select = keep_best if self._head.suppressed else suppress
        return _in_source(select(candidates, selection), transform)

    def warm_up(self) -> None:
        """Run once on a grey picture: the first run allocates and is slow."""
        spec = self._model.input
        grey = np.full((spec.height, spec.width, 3), spec.padding_value, np.uint8)
        self.detect(Pixels.from_array(grey), Selection.from_thresholds(self._model.thresholds))

    def close(self) -> None:
        """Close the backend; may be called twice."""
        self._backend.close()


def _in_source(candidates: Candidates, transform: ImageTransform) -> Detections:
    """Map candidates to the picture, and leave out those that lie outside, or in the padding."""
    angles = candidates.angles
    if angles is None:
        boxes = transform.boxes_to_source(candidates.boxes)
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    else:
        boxes, angles = transform.rotated_boxes_to_source(candidates.boxes, angles)
        visible = transform.shows_rotated(boxes, angles)
    found = Detections(boxes, candidates.scores, candidates.class_ids, angles)
    return found if visible.all() else found.take(np.flatnonzero(visible))
