"""Model in, engine in the cache: converted, built, proven, and only then promoted."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from jetson_detect.builder import stages
from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.forecast import Forecast
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.outcome import BuildOutcome, OutcomeKind
from jetson_detect.builder.sources import choose_source
from jetson_detect.builder.stage_errors import BuildCancelledError, StageError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.builder.stage_process import run_stage
from jetson_detect.builder.stage_remedies import BUILD_REMEDIES
from jetson_detect.core.closing import Closing
from jetson_detect.core.engines.build_notes import BuildNotes
from jetson_detect.core.engines.build_options import OnnxForm, onnx_form
from jetson_detect.core.engines.build_progress import ProgressCallback
from jetson_detect.core.engines.cache import EngineCache
from jetson_detect.core.engines.content_hash import content_sha256
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.lock import LockOwner, LockWaitCancelledError
from jetson_detect.core.engines.machine import MachineIdentity
from jetson_detect.core.engines.proof import Proof, ProofLimits
from jetson_detect.core.engines.sidecar import EngineRecord
from jetson_detect.core.model import Format, HeadSpec, ModelFile, ModelSpec, load_model
from jetson_detect.core.onnx_graphs import NmsMode
from jetson_detect.core.sample_frames import frames_sha256
from jetson_detect.core.tensorrt_library.features import features_of

R = TypeVar("R")

RECIPE = 1
"""The version of the conversion; an engine of another one is built anew."""

_STAGES = ("convert", "quantize", "reference", "build", "prove")
_TELL_S = 1.0
"""Between two calls of ``on_progress`` while nothing changes."""


class EngineBuilder(Closing):
    """Builds engines, one after the other.

    What several engines of one model share, its ONNX file and its source's answers to the frames
    of the proof, is kept until the builder is closed.
    """

    def __init__(
        self,
        cache: EngineCache,
        limits: StageLimits = StageLimits(),
        on_progress: Callable[[BuildProgress], None] = lambda progress: None,
    ) -> None:
        """Prepare; nothing is started yet.

        Parameters
        ----------
        cache:
            Where engines go.
        limits:
            What each stage's process may take.
        on_progress:
            Told of each change of the phase or the fraction, and now and then in between, on the
            thread that builds.

        Raises
        ------
        CacheError
            If there is no place for what is being made.

        """
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(cache.working_folder("build"))
        self._shared = _Shared(cache, limits, on_progress, folder)

    def build(
        self, job: BuildJob, cancel: threading.Event | None = None, wait: bool = True
    ) -> BuildOutcome:
        """Build an engine, unless the cache has it.

        Parameters
        ----------
        job:
            What to build.
        cancel:
            Set by another thread, ends the build; nothing of it is left.
        wait:
            Whether to wait while another process builds the same.

        Raises
        ------
        StageError
            If a stage failed, was killed, or took too much time or memory.
        BuildCancelledError
            If it was cancelled.
        BuildLockedError
            If another process builds the same and ``wait`` is false.
        CacheError
            If the cache cannot take it; the disk is full, for one.
        ModelError, ValueError, OSError
            If the model, its files, the frames or the options are at fault.

        """
        return _Build(self._shared, job, cancel or threading.Event()).run(wait)

    def close(self) -> None:
        """Remove what was kept for further builds; may be called twice."""
        self._stack.close()


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all builds of a builder have in common, and what they leave to each other."""

    cache: EngineCache
    limits: StageLimits
    on_progress: Callable[[BuildProgress], None]
    folder: Path
    machines: dict[int, MachineIdentity] = field(default_factory=dict)
    """By the GPU's index."""
    conversions: dict[Any, stages.Conversion] = field(default_factory=dict)
    """By what decides them."""
    references: dict[Any, tuple[Path, tuple[str, ...]]] = field(default_factory=dict)
    """The file and warnings, by what decides them."""

    def keep(self, name: str) -> Path:
        """Return a path for something that outlasts a single build."""
        return self.folder / f"{len(self.conversions) + len(self.references)}-{name}"


class _Build:
    """One build, on the way through its stages."""

    def __init__(self, shared: _Shared, job: BuildJob, cancel: threading.Event) -> None:
        self._shared, self._job, self._cancel = shared, job, cancel
        self._cache = shared.cache
        self._precision = job.options.precision
        self._started = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._changes: list[str] = []
        self._warnings: list[str] = []
        self._phase = "starting"
        self._fraction: float | None = None
        self._told_at = self._stage_since = self._started

    def run(self, wait: bool) -> BuildOutcome:
        """Go through the stages."""
        job = self._job
        if job.options.strip:
            raise ValueError("strip: an engine without its weights can be neither proven nor run")
        self._model = load_model(job.model)
        self._source = choose_source(self._model, job.source)
        self._forecast = Forecast({})
        machine = self._machine()
        self._form = onnx_form(features_of(machine.tensorrt), job.options)
        self._forecast = self._remember_past()
        self._tell("looking into the cache")
        identity = self._identity(machine)
        if (found := self._found(identity)) is not None:
            return found
        lock = self._cache.lock(identity)
        try:
            lock.acquire(wait, self._wait_for, self._cancel)
        except LockWaitCancelledError as error:
            raise BuildCancelledError(str(error)) from error
        with lock:
            # Another process may have built it while this one waited.
            if (found := self._found(identity)) is not None:
                return found
            conversion = self._convert(identity.source)
            reference = self._refer(identity.source)
            onnx = self._set_precision(conversion)
            plan = self._shared.folder / "engine.plan"
            self._build_plan(onnx, plan)
            proof = self._prove(plan, conversion.head, reference)
            if content_sha256(self._source) != identity.source:
                raise StageError(
                    f"{self._source.path}: changed while an engine was built from it; build again"
                )
            return self._store(identity, plan, conversion, proof)

    # -- stages -------------------------------------------------------------------------------

    def _machine(self) -> MachineIdentity:
        machines, device = self._shared.machines, self._job.device
        if device not in machines:
            machines[device] = self._run("identify", stages.identify, device)
        return machines[device]

    def _identity(self, machine: MachineIdentity) -> EngineIdentity:
        job, model = self._job, self._model
        options: dict[str, Any] = {
            **job.options.identity(),
            "form": self._form.value,
            "signature": self._source.signature,
            "nms": job.nms.value,
            # What cutting suppression out of the network, or replacing it, goes by.
            "labels": len(model.labels),
            "thresholds": asdict(model.thresholds) if job.nms is NmsMode.EFFICIENT_NMS else None,
        }
        calibration = ""
        if self._needs_calibration:
            options["int8"] = asdict(job.int8)
            # How pictures become tensors decides the ranges as much as the pictures do.
            options["input"] = _described(model)
            calibration = frames_sha256(job.calibration.frames(model.labels))
        return EngineIdentity(
            model=model.name,
            source=content_sha256(self._source),
            precision=self._precision.value,
            shapes={name: list(shape) for name, shape in job.shapes.items()},
            options=options,
            calibration=calibration,
            recipe=RECIPE,
            machine=machine,
        )

    @property
    def _needs_calibration(self) -> bool:
        return self._form in (OnnxForm.INT8_QDQ, OnnxForm.INT8_QDQ_FLOAT16)

    def _convert(self, content: str) -> stages.Conversion:
        """Return the source as ONNX; its content is in its hash, for files may change."""
        job, kept = self._job, self._shared.conversions
        key = (content, repr(self._model), repr(self._source), job.nms, repr(dict(job.shapes)))
        if key not in kept:
            task = stages.ConversionTask(
                self._model,
                self._source,
                self._shared.keep("network.onnx"),
                job.shapes,
                job.nms,
            )
            kept[key] = self._run("convert", stages.convert, task)
        return kept[key]

    def _refer(self, content: str) -> Path:
        """Return the answers of the source with this hash."""
        job, kept = self._job, self._shared.references
        key = (content, repr(self._model), repr(self._source), job.proof, job.runs)
        if key not in kept:
            path = self._shared.keep("reference.npz")
            task = stages.ReferenceTask(self._model, self._source, job.proof, path, job.runs)
            kept[key] = path, self._run("reference", stages.refer, task)
        path, warnings = kept[key]
        self._warnings += warnings
        return path

    def _set_precision(self, conversion: stages.Conversion) -> Path:
        if self._form is OnnxForm.PLAIN:
            return conversion.onnx
        output = self._shared.folder / "typed.onnx"
        onnx = replace(self._source, format=Format.ONNX, path=conversion.onnx)
        task = stages.PrecisionTask(
            self._model, onnx, output, self._form, self._job.int8, self._job.calibration
        )
        self._changes += self._run("quantize", stages.set_precision, task)
        return output

    def _build_plan(self, onnx: Path, plan: Path) -> None:
        options = self._job.options
        if self._job.timing_cache:
            options = replace(options, timing_cache=self._timing_cache())
        task = stages.PlanTask(onnx, plan, options)
        notes: BuildNotes = self._run("build", stages.build_plan, task)
        if notes.skipped_tactics or notes.workspace_shortages:
            advice = notes.advice(self._job.options.workspace_mb)
            self._warnings.append(
                f"TensorRT skipped {notes.skipped_tactics} tactics, {notes.workspace_shortages} "
                f"for want of memory{f': {advice}' if advice else ''}"
            )
        self._warnings += notes.warnings

    def _timing_cache(self) -> Path:
        """Return the file of measured times of this version and GPU: TensorRT takes no other."""
        machine = self._machine()
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{machine.tensorrt} {machine.gpu}")
        return self._cache.folder / f"timing-{name}.cache"

    def _prove(self, plan: Path, head: HeadSpec | None, reference: Path) -> Proof:
        options = self._job.options
        engine = ModelFile(
            Format.TENSORRT, plan, self._precision, tensors=self._source.tensors, head=head
        )
        task = stages.ProofTask(
            self._model,
            engine,
            reference,
            self._job.proof,
            self._job.limits or ProofLimits.for_precision(self._precision, options.tf32),
            self._job.runs,
            self._job.device,
            options.dla_core,
            self._shared.folder,
        )
        proof: Proof = self._run("prove", stages.prove_plan, task)
        self._warnings += proof.warnings
        return proof

    # -- the cache ----------------------------------------------------------------------------

    def _found(self, identity: EngineIdentity) -> BuildOutcome | None:
        entry = None if self._job.force else self._cache.find(identity)
        if entry is None:
            return None
        return BuildOutcome(
            OutcomeKind.FOUND, entry, Proof.from_json(entry.record.proof), self._elapsed
        )

    def _store(
        self,
        identity: EngineIdentity,
        plan: Path,
        conversion: stages.Conversion,
        proof: Proof,
    ) -> BuildOutcome:
        self._tell("storing")
        picture = Path(proof.worst_picture) if proof.worst_picture and not proof.passed else None
        proof = replace(proof, worst_picture=picture.name if picture else None)
        seen = proof.comparison
        record = EngineRecord(
            tensors=self._source.tensors,
            head=conversion.head,
            proof=proof.to_json(),
            figures=proof.figures(),
            latency_ms=seen.engine.inference.p50_ms if seen else None,
            timing=self._seconds,
            warnings=tuple(self._warnings),
            changes=(*conversion.changes, *self._changes),
        )
        store = self._cache.promote if proof.passed else self._cache.set_aside
        entry = store(identity, plan, record)
        if picture is not None:
            with contextlib.suppress(OSError):  # of a full disk, say: the report is there
                shutil.copy(picture, entry.folder)
        if proof.passed:
            for stage, seconds in self._seconds.items():
                self._cache.record_seconds(self._model.name, self._precision.value, stage, seconds)
        kind = OutcomeKind.PROMOTED if proof.passed else OutcomeKind.SET_ASIDE
        return BuildOutcome(kind, entry, proof, self._elapsed)

    # -- progress -----------------------------------------------------------------------------

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _remember_past(self) -> Forecast:
        model, precision = self._model.name, self._precision.value
        names = [name for name in _STAGES if name != "quantize" or self._form is not OnnxForm.PLAIN]
        return Forecast(
            {name: self._cache.expected_seconds(model, precision, name) for name in names}
        )

    def _run(self, name: str, stage: Callable[[Any, ProgressCallback], R], task: Any) -> R:
        self._stage_since = time.monotonic()
        result = run_stage(
            name,
            stage,
            task,
            self._shared.folder / f"{name}.log",
            limits=self._shared.limits,
            remedies=BUILD_REMEDIES,
            on_progress=lambda phase, fraction: self._tell(phase, fraction, name),
            on_wait=lambda: self._tell_again(name),
            cancel=self._cancel,
        )
        self._seconds[name] = result.seconds
        return result.value

    def _wait_for(self, owner: LockOwner | None, seconds: float) -> None:
        self._tell(f"waiting for {owner or 'another process'} to build it")

    def _tell(self, phase: str, fraction: float | None = None, stage: str = "") -> None:
        """Tell where the build is; ``fraction`` is that of the stage."""
        self._phase, self._fraction, self._told_at = phase, fraction, time.monotonic()
        seconds = self._told_at - self._stage_since
        self._shared.on_progress(
            BuildProgress(
                self._model.name,
                self._precision.value,
                phase,
                self._forecast.fraction(stage, fraction, seconds),
                self._elapsed,
                self._forecast.total_s,
            )
        )

    def _tell_again(self, stage: str) -> None:
        if time.monotonic() - self._told_at >= _TELL_S:
            self._tell(self._phase, self._fraction, stage)


def _described(model: ModelSpec) -> dict[str, Any]:
    """Say how a model's pictures become tensors, in plain values."""
    return {
        name: value.value if isinstance(value, Enum) else value
        for name, value in asdict(model.input).items()
    }
