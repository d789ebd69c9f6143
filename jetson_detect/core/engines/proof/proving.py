"""An engine run against its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from jetson_detect.core.backends import open_by_format
from jetson_detect.core.engines.proof.comparison import Comparison
from jetson_detect.core.engines.proof.detection_agreement import (
    AveragePrecision,
    compare_frames,
    precision_against_source,
    precision_against_truth,
)
from jetson_detect.core.engines.proof.errors import FaultyNetworkError, ProofError
from jetson_detect.core.engines.proof.frame_run import (
    FrameRun,
    Opener,
    RunOptions,
    run_frames,
)
from jetson_detect.core.engines.proof.judgement import find_failures, find_warnings
from jetson_detect.core.engines.proof.limits import ProofLimits
from jetson_detect.core.engines.proof.proof import Proof
from jetson_detect.core.engines.proof.reference import Reference
from jetson_detect.core.engines.proof.tensor_error import compare_tensors
from jetson_detect.core.engines.proof.worst_frame import write_worst_frame
from jetson_detect.core.evaluation import EvaluationError
from jetson_detect.core.model import ModelFile, ModelSpec
from jetson_detect.core.sample_frames import SampleFrame

_REMEDY = "build it again, with more layers in fp32 if numbers leave the range of its precision"


class LayerCounts(Protocol):
    """What an inspection of an engine's layers tells."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many layers run in FP32, FP16, BF16, INT8, FP8; any other name is of unknown ones."""


def prove(
    model: ModelSpec,
    engine: ModelFile,
    reference: Reference,
    frames: Sequence[SampleFrame],
    limits: ProofLimits | None = None,
    layers: LayerCounts | None = None,
    *,
    layers_problem: str | None = None,
    options: RunOptions = RunOptions(),
    pictures: Path | None = None,
    opener: Opener = open_by_format,
) -> Proof:
    """Run an engine on the frames that its source ran on, and compare all that both answer.

    Parameters
    ----------
    model, engine:
        The model, and the file that is to be proved.
    reference:
        What the source answered.
    frames:
        The ones that it answered to.
    limits:
        How far the engine may be off; None for what suits its precision.
    layers:
        In which precision its layers run; None if that was not measured.
    layers_problem:
        What speaks against them, in a sentence: it refuses the engine.
    options:
        How the engine is run.
    pictures:
        A folder for an image of the frame with the largest disagreement; None for no image.
    opener:
        Opens the file.

    Raises
    ------
    ProofError
        If the reference is of another model or of other frames.
    BackendUnavailableError
        If the engine's backend cannot work in this process: that is not the engine's fault.

    """
    limits = ProofLimits.for_precision(engine.precision) if limits is None else limits
    _check(model, reference, len(frames))
    warnings: list[str] = []
    comparison: Comparison | None = None
    picture: str | None = None
    try:
        run = run_frames(model, engine, frames, options, opener, _SameFrames(reference))
    except FaultyNetworkError as error:
        failures: tuple[str, ...] = (f"{error}; {_REMEDY}",)
    else:
        comparison = _compare(model, run, reference.run, frames, layers, layers_problem)
        failures = find_failures(comparison, limits)
        warnings += find_warnings(comparison, limits)
        if pictures is not None:
            try:
                picture = str(_draw_worst(pictures, model, run, reference.run, frames, comparison))
            except OSError as error:
                warnings.append(str(error))
    return Proof(
        model=model.name,
        engine=engine.path.name,
        precision=engine.precision.value,
        frames=len(frames),
        frames_sha256=reference.frames_sha256,
        limits=limits,
        comparison=comparison,
        failures=failures,
        warnings=tuple(warnings),
        worst_picture=picture,
    )


class _SameFrames:
    """Refuses a frame that is another than the reference's."""

    def __init__(self, reference: Reference) -> None:
        self._expected = reference.run.frame_hashes

    def __call__(self, index: int, digest: str) -> None:
        if digest != self._expected[index]:
            raise ProofError(
                f"frame {index} is another than the one that the reference was made of: run the "
                "source on these frames"
            )


def _check(model: ModelSpec, reference: Reference, frames: int) -> None:
    if reference.model != model.name:
        raise ProofError(
            f"the reference is of the model '{reference.model}', not of '{model.name}' "
            f"({model.source}): run the source of this one"
        )
    known = len(reference.run.frame_hashes)
    if known != frames:
        raise ProofError(
            f"the reference is of {known} frames, not of {frames}: run the source on these frames"
        )


def _compare(
    model: ModelSpec,
    engine: FrameRun,
    source: FrameRun,
    frames: Sequence[SampleFrame],
    layers: LayerCounts | None,
    layers_problem: str | None,
) -> Comparison:
    sizes, truths = zip(*((frame.pixels.size, frame.truth) for frame in frames))
    sure = model.thresholds.score
    against_source: AveragePrecision | None = None
    against_truth: AveragePrecision | None = None
    unevaluated: str | None = None
    try:
        against_source = precision_against_source(engine.detections, source.detections, sure)
        against_truth = precision_against_truth(engine.detections, source.detections, truths)
    except EvaluationError as error:
        unevaluated = str(error)
    return Comparison(
        engine=engine.facts,
        source=source.facts,
        score_threshold=sure,
        tensors=compare_tensors(engine, source),
        detections=compare_frames(engine.detections, source.detections, sizes, model.input, sure),
        against_source=against_source,
        against_truth=against_truth,
        unevaluated=unevaluated,
        layers=None if layers is None else dict(layers.counts),
        layers_problem=layers_problem,
    )


def _draw_worst(
    folder: Path,
    model: ModelSpec,
    engine: FrameRun,
    source: FrameRun,
    frames: Sequence[SampleFrame],
    comparison: Comparison,
) -> Path:
    index = comparison.detections.worst.index
    return write_worst_frame(
        folder,
        frames[index].pixels,
        engine.detections[index],
        source.detections[index],
        model.labels,
        comparison.score_threshold,
    )
