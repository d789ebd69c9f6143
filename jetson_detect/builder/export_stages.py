"""The stages of an export; each runs in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jetson_detect.builder.export_target import ExportTarget
from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.core.backends import open_by_format
from jetson_detect.core.engines.build_progress import ProgressCallback
from jetson_detect.core.engines.proof import Proof, ProofLimits, Reference, prove
from jetson_detect.core.exports import (
    ExportReport,
    TfliteFlavour,
    TfTrtOptions,
    write_frozen_graph,
    write_onnx,
    write_tf_trt,
    write_tflite,
)
from jetson_detect.core.model import Format, ModelFile, ModelSpec
from jetson_detect.core.sample_frames import CalibrationBatches

_TF_TRT_PICTURES = 8
"""Engines of TF-TRT are built for the shapes of a few pictures; only int8 looks at more."""


@dataclass(frozen=True)
class ExportTask:
    """A file, to be written in another format."""

    model: ModelSpec
    source: ModelFile
    target: ExportTarget
    output: Path
    calibration: FrameSource


def export(task: ExportTask, progress: ProgressCallback) -> ExportReport:
    """Write the file."""
    progress(f"writing {task.output.name}", None)
    kind = task.target.file_format
    if kind is Format.ONNX:
        return write_onnx(task.source, task.output)
    if kind is Format.FROZEN_GRAPH:
        return write_frozen_graph(task.source, task.output)
    if kind is Format.TFLITE:
        flavour = TfliteFlavour(task.target.value.removeprefix("tflite_"))
        batches = _batches(task) if task.target.is_calibrated else None
        return write_tflite(task.source, task.output, flavour, batches)
    options = TfTrtOptions(precision=task.target.precision)
    return write_tf_trt(task.source, task.output, options, _batches(task))


def _batches(task: ExportTask) -> Iterable[Mapping[str, Any]]:
    """Return pictures as the source takes them."""
    frames = task.calibration.frames(task.model.labels)
    if not task.target.is_calibrated:
        frames = frames[:_TF_TRT_PICTURES]
    with open_by_format(task.source) as backend:
        inputs = {info.name: info for info in backend.description.inputs}
    name = task.source.tensor_name(task.model.input.name or next(iter(inputs)))
    return CalibrationBatches(task.model.input, inputs[name], frames)


@dataclass(frozen=True)
class FileProofTask:
    """A file, to be run against its source's answers."""

    model: ModelSpec
    file: ModelFile
    reference: Path
    frames: FrameSource
    limits: ProofLimits
    pictures: Path


def prove_file(task: FileProofTask, progress: ProgressCallback) -> Proof:
    """Run the file with its own backend on the frames of the proof and compare."""
    frames = task.frames.frames(task.model.labels)
    progress(f"comparing with the source on {len(frames)} frames", None)
    return prove(
        task.model,
        task.file,
        Reference.load(task.reference),
        frames,
        task.limits,
        pictures=task.pictures,
    )
