"""A model in other formats, each run against its source."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from jetson_detect.builder import export_stages, stages
from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.export_target import ExportTarget
from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.builder.sources import choose_source
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.builder.stage_process import run_stage
from jetson_detect.core.closing import Closing
from jetson_detect.core.engines.build_progress import ProgressCallback
from jetson_detect.core.engines.proof import Proof, ProofLimits, RunOptions
from jetson_detect.core.exports import ExportReport
from jetson_detect.core.model import MODEL_FILE, Format, ModelFile, ModelSpec, load_model

R = TypeVar("R")


@dataclass(frozen=True)
class ExportJob:
    """One file of a model, to be written in another format."""

    model: Path
    """The model's folder."""
    target: ExportTarget
    output: Path
    """The folder that it is written into."""
    source: Format | None = None
    """Which of the model's files to write it from; None for the best one that is there."""
    calibration: FrameSource = FrameSource()
    proof: FrameSource = FrameSource()
    limits: ProofLimits | None = None


@dataclass(frozen=True)
class ExportOutcome:
    """A file that was written, and how well it agrees with its source."""

    source: ModelFile
    file: ModelFile
    report: ExportReport
    proof: Proof
    seconds: float
    peak_mb: float
    """The most resident memory that writing it took."""


class ModelExporter(Closing):
    """Writes files; keeps the source's answers until it is closed."""

    def __init__(
        self,
        limits: StageLimits = StageLimits(),
        on_progress: Callable[[BuildProgress], None] = lambda progress: None,
    ) -> None:
        """Prepare; nothing is started yet.

        Parameters
        ----------
        limits:
            What each stage's process may take.
        on_progress:
            Told of each phase, on the thread that exports.

        """
        self._limits, self._on_progress = limits, on_progress
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._references: dict[Any, Path] = {}

    def export(self, job: ExportJob, cancel: threading.Event | None = None) -> ExportOutcome:
        """Write a file and run it against its source.

        Raises
        ------
        StageError
            If it cannot be written, a stage was killed, or took too much time or memory.
        BuildCancelledError
            If it was cancelled.
        ModelError, ValueError
            If the model or its files are at fault.

        """
        model = load_model(job.model)
        source = choose_source(model, job.source, job.target.sources)
        started = time.monotonic()
        path = job.output / job.target.file_name(model.name)

        def run(
            name: str, stage: Callable[[Any, ProgressCallback], R], task: Any
        ) -> tuple[R, float]:
            def tell(phase: str, fraction: float | None) -> None:
                elapsed = time.monotonic() - started
                text = f"{source.format.value}: {phase}"
                self._on_progress(
                    BuildProgress(model.name, job.target.value, text, fraction, elapsed, None)
                )

            result = run_stage(
                name,
                stage,
                task,
                self._folder / f"{name}.log",
                limits=self._limits,
                on_progress=tell,
                cancel=cancel,
            )
            return result.value, result.peak_mb

        job.output.mkdir(parents=True, exist_ok=True)
        task = export_stages.ExportTask(model, source, job.target, path, job.calibration)
        report, peak_mb = run("export", export_stages.export, task)
        key = (repr(source), job.proof)
        if key not in self._references:
            reference = self._folder / f"reference{len(self._references)}.npz"
            run(
                "reference",
                stages.refer,
                stages.ReferenceTask(model, source, job.proof, reference, RunOptions()),
            )
            self._references[key] = reference
        file = ModelFile(
            job.target.file_format,
            report.path,
            job.target.precision,
            tensors={**source.tensors, **report.details.get("tensors", {})},
        )
        limits = job.limits or ProofLimits.for_precision(job.target.precision)
        proof, _ = run(
            "proof",
            export_stages.prove_file,
            export_stages.FileProofTask(
                model, file, self._references[key], job.proof, limits, job.output
            ),
        )
        return ExportOutcome(source, file, report, proof, time.monotonic() - started, peak_mb)

    def close(self) -> None:
        """Remove what was kept; may be called twice."""
        self._stack.close()


def write_model_yaml(model: ModelSpec, files: list[ModelFile], folder: Path) -> Path:
    """Describe exported files in a ``model.yaml`` beside them; all else is the model's own.

    Raises
    ------
    OSError
        If it cannot be written.

    """
    document = yaml.safe_load(model.source.read_text(encoding="utf-8"))
    document["files"] = [_entry(file, folder) for file in files]
    anchors = document["head"].get("anchors")
    if isinstance(anchors, dict) and "file" in anchors:
        shutil.copy(model.source.parent / anchors["file"], folder / anchors["file"])
    path = folder / MODEL_FILE
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")
    return path


def _entry(file: ModelFile, folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "format": file.format.value,
        "path": str(file.path.relative_to(folder)),
        "precision": file.precision.value,
    }
    if file.tensors:
        entry["tensors"] = dict(file.tensors)
    return entry
