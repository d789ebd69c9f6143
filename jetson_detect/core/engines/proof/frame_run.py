"""One network, run on frames: what it answers and what it costs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from jetson_detect.core.backend_measurement import LOWEST_SCORE
from jetson_detect.core.backends import open_by_format
from jetson_detect.core.backends.base import (
    Backend,
    BackendError,
    BackendOptions,
    BackendUnavailableError,
)
from jetson_detect.core.backends.wrapping import WrappedBackend
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.engines.proof.errors import FaultyNetworkError
from jetson_detect.core.heads import make_head
from jetson_detect.core.model import HeadSpec, ModelFile, ModelSpec
from jetson_detect.core.process_memory import resident_mb
from jetson_detect.core.sample_frames import SampleFrame, frame_sha256, spread
from jetson_detect.core.selection import Selection
from jetson_detect.core.timing import Latency, time_detector

Tensors = Mapping[str, NDArray[Any]]
"""Outputs by the names that model.yaml, or the file's own head, gives them."""
Opener = Callable[[ModelFile, BackendOptions], Backend]


@dataclass(frozen=True)
class RunOptions:
    """How a network is run for a proof."""

    backend: BackendOptions = BackendOptions()
    warm_up: int = 20
    """Inferences before the timed ones."""
    runs: int = 100
    """Inferences, and whole detections, that are timed."""
    tensor_frames: int = 8
    """The most frames, evenly spaced, whose raw outputs are kept."""
    tensor_mb: int = 256
    """The most memory that these may take; there are fewer where they take more."""


@dataclass(frozen=True)
class NetworkFacts:
    """What ran, and what it cost; JSON can hold it."""

    file: str
    format: str
    precision: str
    backend: str
    runtime: str
    device: str
    inference: Latency
    """Of the backend alone, from tensor to tensors."""
    detection: Latency
    """From a picture to its detections."""
    rss_mb: float
    """Resident memory of the process after that."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NetworkFacts:
        """Read what :func:`dataclasses.asdict` made."""
        times = {name: Latency(**document[name]) for name in ("inference", "detection")}
        return cls(**{**document, **times})


@dataclass(frozen=True, eq=False)
class FrameRun:
    """A network's answers."""

    facts: NetworkFacts
    head: HeadSpec
    """What decoded them."""
    listed: bool
    """Whether the outputs are lists of objects that the network has picked itself, in whose rows
    two objects of nearly one score may swap places."""
    frame_hashes: tuple[str, ...]
    detections: tuple[Detections, ...]
    """Of each frame, weak candidates too, as :func:`weakest_score` says."""
    tensors: Mapping[int, Tensors] = field(default_factory=dict)
    """Raw outputs by the frame's index, of some frames: those that the head reads."""


def weakest_score(model: ModelSpec) -> float:
    """Return the score from which on candidates are looked at; average precision wants it low."""
    return min(LOWEST_SCORE, model.thresholds.score)


def run_frames(
    model: ModelSpec,
    file: ModelFile,
    frames: Sequence[SampleFrame],
    options: RunOptions,
    opener: Opener = open_by_format,
    check_hash: Callable[[int, str], None] = lambda index, digest: None,
) -> FrameRun:
    """Find objects in each frame, then time the network on the first one.

    Parameters
    ----------
    model, file:
        The model, and the file of it that is run.
    frames:
        At least one.
    options:
        How.
    opener:
        Opens the file.
    check_hash:
        Called with each frame's index and hash before the network sees it; may raise.

    Raises
    ------
    FaultyNetworkError
        If the file does not load, does not fit the model, or fails on a frame.
    BackendUnavailableError
        If its backend cannot work in this process: that is not the file's fault.

    """
    thresholds = Selection.from_thresholds(model.thresholds)
    selection = replace(thresholds, score_threshold=weakest_score(model))
    keeper = _TensorKeeper(spread(len(frames), options.tensor_frames), options.tensor_mb)
    with contextlib.ExitStack() as stack:
        with _faults(file):
            backend = _RecordingBackend(opener(file, options.backend))
            stack.enter_context(backend)
            detector = stack.enter_context(Detector(model, backend))
        first = frames[0]
        names = {name: file.tensor_name(name) for name in detector.head_spec.outputs.values()}
        hashes, found = [], []
        for index, frame in enumerate(frames):
            hashes.append(frame_sha256(frame))
            check_hash(index, hashes[-1])
            with _faults(file, f"frame {index}: "):
                found.append(detector.detect(frame.pixels, selection))
            keeper.offer(index, {name: backend.outputs[own] for name, own in names.items()})
        with _faults(file, "frame 0, again and again: "):
            facts = _measure(detector, backend, first, selection, options)
        return FrameRun(
            facts,
            detector.head_spec,
            _is_listed(detector),
            tuple(hashes),
            tuple(found),
            keeper.kept,
        )


class _RecordingBackend(WrappedBackend[Backend]):
    """Passes everything on to a backend, and remembers its last outputs."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.outputs: Mapping[str, NDArray[Any]] = {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        self.outputs = super().run(inputs)
        return self.outputs


class _TensorKeeper:
    """Keeps copies of outputs while there is room for them."""

    def __init__(self, wanted: Sequence[int], megabytes: int) -> None:
        self._wanted = frozenset(wanted)
        self._room = megabytes << 20
        self.kept: dict[int, Tensors] = {}

    def offer(self, index: int, tensors: Tensors) -> None:
        size = sum(tensor.nbytes for tensor in tensors.values())
        if index in self._wanted and size <= self._room:
            self._room -= size
            self.kept[index] = {name: tensor.copy() for name, tensor in tensors.items()}


@contextlib.contextmanager
def _faults(file: ModelFile, where: str = "") -> Iterator[None]:
    try:
        yield
    except BackendUnavailableError:
        raise
    except (BackendError, ValueError) as error:
        said = str(error).removeprefix(f"{file.path}: ")
        raise FaultyNetworkError(f"{file.path}: {where}{said}") from error


def _is_listed(detector: Detector) -> bool:
    description, spec = detector.description, detector.head_spec
    infos = {info.name: info for info in description.outputs}
    parts = {part: description.file.tensor_name(name) for part, name in spec.outputs.items()}
    decoder = replace(detector.model, head=spec)
    return make_head(decoder, {part: infos[name] for part, name in parts.items()}).suppressed


def _measure(
    detector: Detector,
    backend: Backend,
    frame: SampleFrame,
    selection: Selection,
    options: RunOptions,
) -> NetworkFacts:
    description = detector.description
    latency = time_detector(
        detector, backend, frame.pixels, selection, options.warm_up, options.runs
    )
    file = description.file
    return NetworkFacts(
        file.path.name,
        file.format.value,
        file.precision.value,
        description.backend,
        description.runtime,
        description.device,
        latency.inference,
        latency.detection,
        resident_mb(),
    )
