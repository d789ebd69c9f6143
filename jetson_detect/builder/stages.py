"""The stages of a build; each runs in a process of its own, and returns what can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Each stage imports what it needs: the one in which TensorRT builds has no use for OpenCV, say.
if TYPE_CHECKING:
    from jetson_detect.builder.frame_source import FrameSource
    from jetson_detect.core.backends import TensorInfo
    from jetson_detect.core.engines.build_notes import BuildNotes
    from jetson_detect.core.engines.build_options import BuildOptions, OnnxForm
    from jetson_detect.core.engines.build_progress import ProgressCallback
    from jetson_detect.core.engines.machine import MachineIdentity
    from jetson_detect.core.engines.proof import Proof, ProofLimits, RunOptions
    from jetson_detect.core.model import HeadSpec, ModelFile, ModelSpec
    from jetson_detect.core.onnx_graphs import Int8Options, NmsMode


def identify(device: int, progress: ProgressCallback) -> MachineIdentity:
    """Ask which machine this is; TensorRT is imported here and not in the builder's own process."""
    from jetson_detect.core.engines.machine import read_machine

    progress("asking TensorRT and the GPU", None)
    return read_machine(device)


@dataclass(frozen=True)
class ConversionTask:
    """A model's file, to be written as ONNX that TensorRT can parse."""

    model: ModelSpec
    source: ModelFile
    output: Path
    shapes: Mapping[str, tuple[int | None, ...]]
    nms: NmsMode


@dataclass(frozen=True)
class Conversion:
    """The ONNX file that came of it."""

    onnx: Path
    head: HeadSpec | None
    """How its outputs become boxes, if they are others than the model's."""
    changes: tuple[str, ...]
    """What was changed in the network, in sentences."""


def convert(task: ConversionTask, progress: ProgressCallback) -> Conversion:
    """Write a SavedModel, Keras file, frozen graph or ONNX file as ONNX."""
    import onnx

    from jetson_detect.core.exports import OnnxExportOptions, write_onnx
    from jetson_detect.core.onnx_graphs import (
        NmsOptions,
        float_inputs,
        reads_bytes_uncast,
        restore_upsampling,
        tidy,
        treat_nms,
    )

    progress(f"converting {task.source.path.name} to ONNX", None)
    report = write_onnx(task.source, task.output, OnnxExportOptions(shapes=task.shapes))
    changes = list(report.changes)
    progress("looking for suppression in the network", None)
    network = onnx.load(str(task.output))
    treated = treat_nms(network, task.nms, NmsOptions.for_model(task.model))
    changes += treated.changes
    network = treated.model
    restored = restore_upsampling(network)
    network = restored.model
    changes += restored.changes
    if reads_bytes_uncast(network):
        floats = float_inputs(network)
        network = floats.model
        changes += floats.changes
    if len(changes) > len(report.changes):
        onnx.save(tidy(network), str(task.output))
    return Conversion(task.output, treated.head, tuple(changes))


@dataclass(frozen=True)
class PrecisionTask:
    """An ONNX file, to be given the precision that TensorRT reads from it."""

    model: ModelSpec
    onnx: ModelFile
    output: Path
    form: OnnxForm
    int8: Int8Options
    calibration: FrameSource


def set_precision(task: PrecisionTask, progress: ProgressCallback) -> tuple[str, ...]:
    """Write float16 or quantisation into an ONNX file; returns what was changed, in sentences."""
    import onnx

    from jetson_detect.core.engines.build_options import OnnxForm
    from jetson_detect.core.onnx_graphs import bake_float16, quantize_int8
    from jetson_detect.core.sample_frames import CalibrationBatches

    network = onnx.load(str(task.onnx.path))
    changes: tuple[str, ...] = ()
    if task.form in (OnnxForm.INT8_QDQ, OnnxForm.INT8_QDQ_FLOAT16):
        progress("reading calibration frames", None)
        frames = task.calibration.frames(task.model.labels)
        progress(f"calibrating on {len(frames)} frames", None)
        picture = _input(network, task.model, task.onnx)
        batches = CalibrationBatches(task.model.input, picture, frames)
        quantized = quantize_int8(network, batches, task.int8)
        network, changes = quantized.model, tuple(quantized.changes)
    if task.form in (OnnxForm.FLOAT16, OnnxForm.INT8_QDQ_FLOAT16):
        progress("writing half precision", None)
        half = bake_float16(network)
        network, changes = half.model, (*changes, *half.changes)
    onnx.save(network, str(task.output))
    return changes


def _input(network: Any, model: ModelSpec, file: ModelFile) -> TensorInfo:
    """Describe the input that takes the picture; ONNX Runtime need not know the operators."""
    import numpy as np
    import onnx

    from jetson_detect.core.backends import TensorInfo

    weights = {tensor.name for tensor in network.graph.initializer}
    inputs = {value.name: value for value in network.graph.input if value.name not in weights}
    name = file.tensor_name(model.input.name) if model.input.name else next(iter(inputs))
    if name not in inputs:
        raise model.error("input.name", f"'{name}' is no input", f"use {', '.join(inputs)}")
    kind = inputs[name].type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    sizes = (size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
    return TensorInfo(name, tuple(sizes), dtype)


@dataclass(frozen=True)
class ReferenceTask:
    """The source, to be run on the frames of the proof."""

    model: ModelSpec
    source: ModelFile
    frames: FrameSource
    output: Path
    runs: RunOptions


def refer(task: ReferenceTask, progress: ProgressCallback) -> tuple[str, ...]:
    """Run the source with its own backend and write its answers; returns warnings.

    Where its backend is missing, another file of the model vouches for it.
    """
    from jetson_detect.builder.sources import witnesses
    from jetson_detect.core.backends import BackendUnavailableError
    from jetson_detect.core.engines.proof import run_reference

    progress("reading the frames of the proof", None)
    frames = task.frames.frames(task.model.labels)
    refusals = []
    for backend, file in witnesses(task.model, task.source):
        progress(f"running {file.path.name} on {len(frames)} frames", None)
        try:
            reference = run_reference(task.model, file, frames, task.runs)
        except BackendUnavailableError as error:
            refusals.append(f"{backend}: {error}")
            continue
        reference.save(task.output)
        if not refusals:
            return ()
        return (
            f"proven against {file.path.name} instead of {task.source.path.name}, "
            f"which cannot run here ({'; '.join(refusals)})",
        )
    raise BackendUnavailableError(
        f"{task.source.path}: nothing here can run it to prove an engine against: "
        f"{'; '.join(refusals)}"
    )


@dataclass(frozen=True)
class PlanTask:
    """An ONNX file, to be built."""

    onnx: Path
    output: Path
    options: BuildOptions


def build_plan(task: PlanTask, progress: ProgressCallback) -> BuildNotes:
    """Build a plan and write it."""
    from jetson_detect.core.engines.building import build_engine

    built = build_engine(task.onnx, task.options, progress)
    task.output.write_bytes(built.plan)
    return built.notes


@dataclass(frozen=True)
class ProofTask:
    """A plan, to be run against its source's answers."""

    model: ModelSpec
    engine: ModelFile
    reference: Path
    frames: FrameSource
    limits: ProofLimits
    runs: RunOptions
    device: int
    dla_core: int
    pictures: Path


def prove_plan(task: ProofTask, progress: ProgressCallback) -> Proof:
    """Run a plan on the frames of the proof and compare."""
    from jetson_detect.core.backends import BackendOptions, TensorrtOptions
    from jetson_detect.core.engines.layer_precision import inspect_layers, precision_problem
    from jetson_detect.core.engines.proof import Reference, prove

    progress("inspecting the plan's layers", None)
    backend = BackendOptions(tensorrt=TensorrtOptions(device=task.device, dla_core=task.dla_core))
    layers = inspect_layers(task.engine.path)
    problem = precision_problem(layers, task.engine.precision)
    reference = Reference.load(task.reference)
    frames = task.frames.frames(task.model.labels)
    progress(f"comparing with the source on {len(frames)} frames", None)
    return prove(
        task.model,
        task.engine,
        reference,
        frames,
        task.limits,
        layers,
        layers_problem=problem,
        options=replace(task.runs, backend=backend),
        pictures=task.pictures,
    )
