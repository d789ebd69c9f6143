"""Whether what was measured suffices, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jetson_detect.core.engines.proof.comparison import Comparison
from jetson_detect.core.engines.proof.limits import ProofLimits
from jetson_detect.core.model import Precision

_FINER: Mapping[str, str] = {
    Precision.FP32.value: "build it again from this very source, without tf32",
    Precision.FP16.value: "keep the layers that lead there in fp32, or build bf16 or fp32",
    Precision.BF16.value: "build fp16 or fp32",
    Precision.INT8.value: "calibrate with more frames of what the robot sees, or build fp16",
    Precision.FP8.value: "calibrate with more frames of what the robot sees, or build fp16",
}
"""What helps where an engine is too coarse, by its precision."""


def find_failures(seen: Comparison, limits: ProofLimits) -> tuple[str, ...]:
    """Return a sentence for each limit that is not kept: the number, the limit, the remedy."""
    return (
        *_tensor_failures(seen, limits),
        *_detection_failures(seen, limits),
        *_layer_failures(seen, limits),
        *_speed_failures(seen, limits),
    )


def find_warnings(seen: Comparison, limits: ProofLimits) -> tuple[str, ...]:
    """Return a sentence for all that does not refuse the engine, but should be known."""
    return tuple(_warnings(seen, limits))


def _exceeds(value: float, limit: float | None) -> bool:
    # Not the other way round: NaN exceeds everything.
    return limit is not None and not value <= limit


def _tensor_failures(seen: Comparison, limits: ProofLimits) -> Iterator[str]:
    for sentence in seen.tensors.broken:
        yield f"output {sentence}: build it from this very source"
    remedy = _FINER[seen.engine.precision]
    for error in seen.tensors.errors:
        if _exceeds(error.relative, limits.tensor_relative):
            yield (
                f"output {error.name} is off by up to {error.relative:.2g} of the source's largest "
                f"value, the limit tensor_relative is {limits.tensor_relative:g}: {remedy}"
            )
        if _exceeds(error.rms, limits.tensor_rms):
            yield (
                f"output {error.name} has an rms error of {error.rms:.2g} of the source's rms, the "
                f"limit tensor_rms is {limits.tensor_rms:g}: {remedy}"
            )


def _detection_failures(seen: Comparison, limits: ProofLimits) -> Iterator[str]:
    found = seen.detections
    remedy = _FINER[seen.engine.precision]
    if not found.objects and not _tensors_judged(seen, limits):
        reasons = "; ".join(seen.tensors.skipped) or "no limit is set for them"
        yield (
            f"nothing can be compared: the source finds no object of score "
            f"{seen.score_threshold:g} or more, and the raw outputs are not compared ({reasons}): "
            "give frames that show what the model knows"
        )
    if _exceeds(found.disagreement, limits.disagreement):
        yield (
            f"{found.missed} objects are missed and {found.extra} are extra beside {found.matched} "
            f"that both find, {found.disagreement:.1%} of all; the limit disagreement is "
            f"{limits.disagreement:.1%}: {remedy}"
        )
    if _exceeds(found.box_input_px.p99, limits.box_input_px):
        yield (
            f"boxes move by up to {found.box_input_px.p99:.2f} pixels of the network's input in 99 "
            f"of 100 frames ({found.box_px.p99:.2f} of the picture), the limit box_input_px is "
            f"{limits.box_input_px:g}: {remedy}"
        )
    beside = seen.against_source
    if beside is not None and limits.map50 is not None and not beside.engine50 >= limits.map50:
        yield (
            f"mAP50 is {beside.engine50:.4f} with the source's {beside.objects} objects as truth, "
            f"the limit map50 is {limits.map50:g}: {remedy}"
        )
    truth = seen.against_truth
    if truth is not None and _exceeds(truth.drop50, limits.map50_drop):
        yield (
            f"mAP50 against the truth is {truth.engine50:.4f}, and {truth.source50:.4f} for the "
            f"source: {truth.drop50:.4f} less, the limit map50_drop is {limits.map50_drop:g}: "
            f"{remedy}"
        )


def _layer_failures(seen: Comparison, limits: ProofLimits) -> Iterator[str]:
    if seen.layers_problem is not None:
        yield seen.layers_problem
        return
    precision, share = seen.engine.precision, seen.layer_share
    # What runs in no other precision runs in fp32: such an engine is at least as exact as it says.
    if share is None or precision == Precision.FP32.value:
        return
    if not share or share < limits.layer_share:
        counts = ", ".join(f"{count} in {name}" for name, count in (seen.layers or {}).items())
        yield (
            f"{share:.0%} of the layers run in {precision} ({counts}), the limit layer_share is "
            f"{limits.layer_share:.0%} and more than none: see that this GPU is fast in it, "
            f"or build {Precision.FP32.value}"
        )


def _speed_failures(seen: Comparison, limits: ProofLimits) -> Iterator[str]:
    if seen.speedup < limits.min_speedup:
        yield f"{_speed(seen)}, the limit min_speedup is {limits.min_speedup:g}: keep the source"


def _warnings(seen: Comparison, limits: ProofLimits) -> Iterator[str]:
    objects = seen.detections.objects
    if not objects and _tensors_judged(seen, limits):
        yield (
            f"the source finds no object of score {seen.score_threshold:g} or more, so that the "
            "proof rests on the raw outputs alone: give frames that show what the model knows"
        )
    elif 0 < objects < limits.min_objects:
        yield (
            f"the source finds only {objects} objects, fewer than {limits.min_objects} "
            "(min_objects), so that each counts much: give more frames"
        )
    if seen.unevaluated is not None:
        yield f"average precision is not compared: {seen.unevaluated}"
    if seen.layers is not None and seen.layer_share is None:
        yield (
            "the engine does not tell in which precision its layers run: build it with "
            "ProfilingVerbosity.DETAILED"
        )
    if seen.speedup < 1.0 and not seen.speedup < limits.min_speedup:
        yield f"{_speed(seen)}: the source may serve as well"


def _tensors_judged(seen: Comparison, limits: ProofLimits) -> bool:
    judged = limits.tensor_relative is not None or limits.tensor_rms is not None
    return judged and bool(seen.tensors.errors)


def _speed(seen: Comparison) -> str:
    engine, source = seen.engine, seen.source
    return (
        f"an inference takes {engine.inference.p50_ms:.3g} ms on {engine.device} and "
        f"{source.inference.p50_ms:.3g} ms with the source on {source.device}, "
        f"{seen.speedup:.2g} x as fast"
    )
