"""Picture in, detections out: a model, the backend that runs it and the head that decodes it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    Backend,
    BackendDescription,
    BackendError,
    CandidateSieve,
    PictureBackend,
    SievingBackend,
    TensorInfo,
)
from jetson_detect.core.backends.pipelining import pipelined
from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.heads import make_head
from jetson_detect.core.heads.base import SievedHead
from jetson_detect.core.heads.proposal import resolve_head
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import HeadSpec, ModelSpec
from jetson_detect.core.output_check import OutputCheck
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.selection import Candidates, Selection, keep_best, suppress

Finding: TypeAlias = Detections | PixelError
"""What came of a picture: objects, or why it could not be read."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Pictures of one inference."""

    places: Sequence[ImageTransform | PixelError]
    """How each picture lies in its input, which those that cannot be read have none of."""
    count: int
    """How many can be read: without any there is no inference."""


@dataclass(frozen=True, eq=False)
class _InputTensor:
    """Memory for the pictures of one inference."""

    preprocess: Preprocessor
    """Which fills it."""
    inputs: Sequence[Mapping[str, NDArray[Any]]]
    """What the backend is given for one picture, for two, and so on."""

    @classmethod
    def of(cls, name: str, preprocess: Preprocessor, least: int) -> _InputTensor:
        """Make the inputs; ``least`` pictures are given at any rate, the rest as it is."""
        tensor = preprocess.tensor
        sizes = [max(count, least) for count in range(1, len(tensor) + 1)]
        return cls(
            preprocess,
            [{name: tensor if size == len(tensor) else tensor[:size]} for size in sizes],
        )


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
        outputs = {info.name: _of_one(info, description) for info in description.outputs}
        self._head_spec = resolve_head(model, tuple(outputs.values()))
        self._parts = {
            part: file.tensor_name(wanted) for part, wanted in self._head_spec.outputs.items()
        }
        parts = set(self._parts.values())
        missing = sorted(parts - set(outputs))
        if missing:
            raise BackendError(
                f"{file.path}: has no output {', '.join(missing)}, but {', '.join(outputs)}; "
                f"correct head.outputs or this file's tensors in {model.source}"
            )
        self._checks = {part: OutputCheck(outputs[out]) for part, out in self._parts.items()}
        self._input_name = name
        self._input = _of_one(inputs[name], description)
        self._max_batch = description.max_batch
        self._min_batch = description.min_batch
        self._one_only = ""
        """Why an inference takes one picture though its input has room for more."""
        for info in description.outputs if self._max_batch > 1 else ():
            if info.name in parts and not _has_batch_axis(info, self._max_batch):
                self._max_batch, self._one_only = 1, f"output '{info.name}' has no axis for more"
        self._pictures = (
            backend.preprocessor(name, model.input) if isinstance(backend, PictureBackend) else None
        )
        self._tensors: dict[int, _InputTensor] = {}
        """One for each piece of memory that the backend has for its input, by its address."""
        self._inputs: Mapping[str, NDArray[Any]] = {}
        """What the next inference is given, besides the picture that the backend has already."""
        self._prepared = 0
        """How many pictures the next inference has."""
        self._in_flight: deque[_Batch] = deque()
        if self._pictures is None:
            self._next_tensor()  # which finds out whether the model fits
        self._head = make_head(
            replace(model, head=self._head_spec),
            {part: outputs[out] for part, out in self._parts.items()},
        )
        self._sieve, self._candidates = self._find_sieve(backend)
        self._limit = -math.inf
        if self._sieve is not None:
            self._limit = self._sieve.limit(Selection.from_thresholds(model.thresholds))

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
        """The backend that runs it, as far as the model can use it."""
        description = self._backend.description
        if self._max_batch == description.max_batch:
            return description
        details = {**description.details, "batch": f"1 ({self._one_only})"}
        return replace(description, max_batch=self._max_batch, details=details)

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
        if self._candidates is not None and not self._in_flight:
            self.start(pixels)
            return self.finish(selection)
        transform = self.prepare(pixels)
        return self.decode(self.infer(), transform, selection)

    @property
    def depth(self) -> int:
        """How many inferences may be started and not finished; asked anew before each start."""
        return self._backend.depth

    @property
    def max_batch(self) -> int:
        """How many pictures one inference takes."""
        return self._max_batch

    def start(self, pixels: Pixels) -> None:
        """Begin with a picture, and return as soon as the backend works on it.

        Nothing is in flight of a picture that raises.

        Raises
        ------
        PixelError
            If it is at fault.
        BackendError
            If inference cannot begin, or :attr:`depth` inferences are not finished.

        """
        transform = self.prepare(pixels)
        self._start()
        self._in_flight.append(_Batch((transform,), 1))

    def start_batch(self, pictures: Sequence[Pixels]) -> None:
        """Begin with one inference of several pictures; see :meth:`start`.

        A picture that is at fault costs nothing but itself.

        Parameters
        ----------
        pictures:
            1 to :attr:`max_batch`, of any sizes.

        Raises
        ------
        BackendError
            If inference cannot begin, :attr:`depth` inferences are not finished, or there are too
            many pictures.

        """
        places: list[ImageTransform | PixelError] = []
        count = 0
        for pixels in pictures:
            try:
                places.append(self.prepare(pixels, count))
            except PixelError as error:
                places.append(error)
            else:
                count += 1
        if count:
            self._start()
        self._in_flight.append(_Batch(places, count))

    def finish(self, selection: Selection) -> Detections:
        """Find the objects in the oldest picture that was started; see :meth:`detect`.

        Raises
        ------
        BackendError
            If none was started, or as :meth:`detect`.

        """
        (finding,) = self.finish_batch(selection)
        if isinstance(finding, PixelError):
            raise finding
        return finding

    def finish_batch(self, selection: Selection) -> list[Finding]:
        """Find the objects in the pictures of the oldest inference that was started.

        Returns
        -------
        For each picture its detections, in its own pixels, or why it could not be read.

        Raises
        ------
        BackendError
            If none was started, or as :meth:`detect`: then all pictures are without an answer.

        """
        if not self._in_flight:
            raise BackendError(
                f"{self.description.file.path}: no picture was started: call start()"
            )
        batch = self._in_flight.popleft()
        if not batch.count:
            return [place for place in batch.places if isinstance(place, PixelError)]
        outputs = self._by_picture(self._backend.finish(), batch.count)
        pictures = zip(outputs, self._passed(selection, batch.count))
        findings: list[Finding] = []
        for place in batch.places:
            if isinstance(place, PixelError):
                findings.append(place)
            else:
                of_picture, among = next(pictures)
                findings.append(self.decode(of_picture, place, selection, among))
        return findings

    def prepare(self, pixels: Pixels, index: int = 0) -> ImageTransform:
        """Fit a picture into the network's input: the first of the three steps of :meth:`detect`.

        Parameters
        ----------
        pixels:
            The picture.
        index:
            Its place in the batch: pictures are prepared in this order.

        Returns
        -------
        How the picture lies in the input; :meth:`decode` needs it.

        Raises
        ------
        PixelError
            If the picture is at fault.
        BackendError
            If :attr:`depth` inferences are not finished, or the batch is full.

        """
        if len(self._in_flight) >= self.depth:
            # The picture would be written over one that the backend still reads.
            raise BackendError(
                f"{self.description.file.path}: {len(self._in_flight)} pictures are in flight, no "
                "more fit: finish() one of them"
            )
        if index >= self._max_batch:
            raise BackendError(
                f"{self.description.file.path}: one inference takes {self._max_batch} pictures, "
                f"not {index + 1}: start() one of fewer"
            )
        self._prepared = index + 1
        if self._pictures is not None:
            return self._pictures(pixels, index)
        tensor = self._next_tensor()
        _, transform = tensor.preprocess(pixels, index)
        self._inputs = tensor.inputs[index]
        return transform

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
        return self._by_picture(self._backend.run(self._inputs), self._prepared)[0]

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        transform: ImageTransform,
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Detections:
        """Turn outputs into detections: the last step.

        Parameters
        ----------
        outputs, transform:
            What :meth:`infer` and :meth:`prepare` gave for the same picture; the next one may be
            prepared in between.
        selection:
            Which candidates to report.
        among:
            (M,), ascending: where the outputs hold candidates, and nothing is to be checked; all
            over without it.

        Returns
        -------
        As :meth:`detect`.

        Raises
        ------
        BackendError
            If outputs have another shape than was described, or numbers that are not finite.

        """
        head = self._head
        if among is None:
            for part, check in self._checks.items():
                check(outputs[part])
            candidates = head.decode(outputs, selection)
        else:
            # As _find_sieve() found; to ask again takes Python ten microseconds and more.
            candidates = cast(SievedHead, head).decode(outputs, selection, among)
        select = keep_best if head.suppressed else suppress
        return _in_source(select(candidates, selection), transform)

    def keep(self, memory: NDArray[np.uint8]) -> bool:
        """Take note of memory that pictures will lie in again and again: a capture's own buffers.

        A GPU then reads pictures from there without the CPU copying them first.  Such a picture
        must stay as it is until its detections are there.

        Parameters
        ----------
        memory:
            C-contiguous; kept alive until the detector is closed.

        Returns
        -------
        Whether it will be read without a copy; pictures from other memory are taken too.

        """
        return self._pictures is not None and self._pictures.keep(memory)

    def warm_up(self) -> None:
        """Run on a grey picture: the first run allocates and is slow, of each one in flight."""
        spec = self._model.input
        grey = np.full((spec.height, spec.width, 3), spec.padding_value, np.uint8)
        selection = Selection.from_thresholds(self._model.thresholds)
        for _ in range(self.depth):
            self.start(Pixels.from_array(grey))
            self.finish(selection)
        if self._max_batch > 1:
            self._warm_up_batch(Pixels.from_array(grey), selection)

    def close(self) -> None:
        """Close the backend; may be called twice."""
        self._backend.close()

    def _find_sieve(self, backend: Backend) -> tuple[Sieve | None, CandidateSieve | None]:
        """Let the backend tell candidates apart, where it can and the head needs to see no more."""
        head = self._head
        if not (isinstance(head, SievedHead) and isinstance(backend, SievingBackend)):
            return None, None
        sieve = head.sieve
        if sieve is None or sieve.outputs != set(self._parts):
            return None, None
        return sieve, backend.sieve(sieve.renamed(self._parts))

    def _start(self) -> None:
        """Begin an inference; what candidates must reach is what the last ones had to."""
        if self._candidates is not None:
            self._candidates.aim(self._limit)
        self._backend.start(self._inputs)

    def _passed(self, selection: Selection, count: int) -> Sequence[NDArray[np.intp] | None]:
        """Return the candidates of each picture that was finished; None for all."""
        if self._candidates is None or self._sieve is None:
            return [None] * count
        self._limit = self._sieve.limit(selection)
        return self._candidates.candidates(self._limit) or [None] * count

    def _next_tensor(self) -> _InputTensor:
        """Return the memory of the next inference."""
        memory = self._backend.input_arrays.get(self._input_name)
        address = 0 if memory is None else memory.ctypes.data
        tensor = self._tensors.get(address)
        if tensor is None:
            preprocess = Preprocessor(self._model.input, self._input, memory, self._max_batch)
            tensor = _InputTensor.of(self._input_name, preprocess, self._min_batch)
            self._tensors[address] = tensor
        return tensor

    def _by_picture(
        self, outputs: Mapping[str, NDArray[Any]], count: int
    ) -> list[dict[str, NDArray[Any]]]:
        """Return the outputs of each of so many pictures, by their part."""
        if not count:
            return []
        parts = {part: outputs[name] for part, name in self._parts.items()}
        if self._max_batch == 1:
            return [parts]
        size = max(count, self._min_batch)
        for part, array in parts.items():
            if array.shape[:1] != (size,):
                raise BackendError(
                    f"output '{self._parts[part]}' has shape {array.shape} for {size} pictures"
                )
        return [
            {part: array[index : index + 1] for part, array in parts.items()}
            for index in range(count)
        ]

    def _warm_up_batch(self, picture: Pixels, selection: Selection) -> None:
        """Run on as many pictures as fit; one at a time where the network cannot do it.

        An exporter may leave the first axis open, and write its size into the layers behind it.
        """
        try:
            self.start_batch([picture] * self._max_batch)
            self.finish_batch(selection)
        except BackendError as error:
            if self._min_batch > 1:
                raise
            self._max_batch, self._one_only = 1, str(error)
            self.start(picture)  # raises if it cannot do that any more, either
            self.finish(selection)


def _of_one(info: TensorInfo, description: BackendDescription) -> TensorInfo:
    """Describe an input or output as that of one picture, where there may be more."""
    if description.max_batch == 1 or not _has_batch_axis(info, description.max_batch):
        return info
    return replace(info, shape=(1, *info.shape[1:]))


def _has_batch_axis(info: TensorInfo, max_batch: int) -> bool:
    """Whether an input or output has a place for each of so many pictures."""
    return info.shape[:1] in ((None,), (max_batch,))


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
