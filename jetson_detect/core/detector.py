"""Picture in, detections out: a model, the backend that runs it and the head that decodes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    Backend,
    BackendDescription,
    BackendError,
    PictureBackend,
)
from jetson_detect.core.backends.pipelining import pipelined
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
        self._backend = pipelined(backend)
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
        self._input = inputs[name]
        self._pictures = (
            backend.preprocessor(name, model.input) if isinstance(backend, PictureBackend) else None
        )
        self._preprocessors: dict[int, Preprocessor] = {}
        """One for each piece of memory that the backend has for its input, by its address."""
        self._inputs: dict[str, NDArray[Any]] = {}
        """What the next inference is given, besides the picture that the backend has already."""
        self._in_flight: deque[ImageTransform] = deque()
        if self._pictures is None:
            self._next_preprocessor()  # which finds out whether the model fits
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
        transform = self.prepare(pixels)
        return self.decode(self.infer(), transform, selection)

    @property
    def depth(self) -> int:
        """How many pictures may be started and not finished; asked anew before each start."""
        return self._backend.depth

    def start(self, pixels: Pixels) -> None:
        """Begin with a picture, and return as soon as the backend works on it.

        Nothing is in flight of a picture that raises.

        Raises
        ------
        PixelError
            If it is at fault.
        BackendError
            If inference cannot begin, or :attr:`depth` pictures are not finished.

        """
        transform = self.prepare(pixels)
        self._backend.start(self._inputs)
        self._in_flight.append(transform)

    def finish(self, selection: Selection) -> Detections:
        """Find the objects in the oldest picture that was started; see :meth:`detect`.

        Raises
        ------
        BackendError
            If none was started, or as :meth:`detect`.

        """
        if not self._in_flight:
            raise BackendError(
                f"{self.description.file.path}: no picture was started: call start()"
            )
        transform = self._in_flight.popleft()
        return self.decode(self._by_part(self._backend.finish()), transform, selection)

    def prepare(self, pixels: Pixels) -> ImageTransform:
        """Fit a picture into the network's input: the first of the three steps of :meth:`detect`.

        Returns
        -------
        How the picture lies in the input; :meth:`decode` needs it.

        Raises
        ------
        PixelError
            If the picture is at fault.
        BackendError
            If :attr:`depth` pictures are not finished.

        """
        if len(self._in_flight) >= self.depth:
            # The picture would be written over one that the backend still reads.
            raise BackendError(
                f"{self.description.file.path}: {len(self._in_flight)} pictures are in flight, no "
                "more fit: finish() one of them"
            )
        if self._pictures is not None:
            return self._pictures(pixels)
        preprocess = self._next_preprocessor()
        self._inputs = {self._input_name: preprocess.tensor}
        return preprocess(pixels)[1]

    def infer(self) -> Mapping[str, NDArray[Any]]:
        """Run the network on the picture that was prepared last: the second step.

        Returns
        -------
        The outputs by their part (the keys of ``head.outputs``), as the backend gave them; valid
        until the next call.

        Raises
        ------
        BackendError
            If inference fails.

        """
        return self._by_part(self._backend.run(self._inputs))

    def decode(
        self, outputs: Mapping[str, NDArray[Any]], transform: ImageTransform, selection: Selection
    ) -> Detections:
        """Turn outputs into detections: the last step.

        Parameters
        ----------
        outputs, transform:
            What :meth:`infer` and :meth:`prepare` gave for the same picture; the next one may be
            prepared in between.
        selection:
            Which candidates to report.

        Returns
        -------
        As :meth:`detect`.

        Raises
        ------
        BackendError
            If outputs have another shape than was described, or numbers that are not finite.

        """
        for part, check in self._checks.items():
            check(outputs[part])
        candidates = self._head.decode(outputs, selection)
        select = keep_best if self._head.suppressed else suppress
        return _in_source(select(candidates, selection), transform)

    def warm_up(self) -> None:
        """Run on a grey picture: the first run allocates and is slow, of each one in flight."""
        spec = self._model.input
        grey = np.full((spec.height, spec.width, 3), spec.padding_value, np.uint8)
        selection = Selection.from_thresholds(self._model.thresholds)
        for _ in range(self.depth):
            self.start(Pixels.from_array(grey))
            self.finish(selection)

    def close(self) -> None:
        """Close the backend; may be called twice."""
        self._backend.close()

    def _next_preprocessor(self) -> Preprocessor:
        """Return the one that fills the memory of the next inference."""
        memory = self._backend.input_arrays.get(self._input_name)
        address = 0 if memory is None else memory.ctypes.data
        preprocessor = self._preprocessors.get(address)
        if preprocessor is None:
            preprocessor = Preprocessor(self._model.input, self._input, memory)
            self._preprocessors[address] = preprocessor
        return preprocessor

    def _by_part(self, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {part: outputs[name] for part, name in self._parts.items()}


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
