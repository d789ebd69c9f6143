"""Write a model's network in other formats, and compare each file with its source."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from jetson_detect.builder.model_exporter import ExportJob, ExportOutcome

_DESCRIPTION = """\
Write a model's SavedModel, Keras file, frozen graph or ONNX file in other formats, into a model
folder of its own, and run each against its source: raw outputs, detections, average precision on
drawn scenes for a model of their classes, time of an inference.  Each conversion is a process of
its own.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0 if every file agrees with its source, 1 if one does not or was not written, 2 for wrong
    arguments, 130 or 143 if it was stopped.
    """
    return _run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    from jetson_detect.builder.export_target import ExportTarget
    from jetson_detect.commands.build_arguments import (
        add_frame_arguments,
        add_source_argument,
        add_stage_arguments,
    )

    parser = argparse.ArgumentParser(prog="export_model", description=_DESCRIPTION)
    parser.add_argument("model", help="folder with a model.yaml, or a model's name")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--to",
        default="onnx,tflite_fp32,tflite_fp16,tflite_dynamic,tflite_int8",
        metavar="NAME,…",
        help=f"some of {', '.join(each.value for each in ExportTarget)} (default: %(default)s)",
    )
    add_source_argument(
        parser, "which of the model's files to export; all: each into a folder of its own"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured")
    add_frame_arguments(parser.add_argument_group("calibration and proof"))
    add_stage_arguments(parser.add_argument_group("processes"))
    return parser


def _run(options: argparse.Namespace) -> int:
    # Imported here so that --help answers at once.
    from rich.console import Console

    from jetson_detect.builder.model_exporter import ModelExporter, write_model_yaml
    from jetson_detect.builder.stage_errors import BuildCancelledError
    from jetson_detect.commands.build_arguments import stage_limits
    from jetson_detect.commands.build_display import BuildDisplay
    from jetson_detect.commands.stop_signals import StopSignals
    from jetson_detect.core.model import load_model

    console = Console(width=None if sys.stdout.isatty() else 190)
    try:
        jobs = _jobs(options)
    except (ValueError, OSError) as error:
        print(f"export_model: {error}", file=sys.stderr)
        return 2
    outcomes: list[ExportOutcome] = []
    failures: list[str] = []
    with (
        StopSignals() as stop,
        BuildDisplay(console, stop) as display,
        ModelExporter(stage_limits(options), display.show) as exporter,
    ):
        for job in jobs:
            try:
                outcome = exporter.export(job, display.cancel)
            except BuildCancelledError:
                break
            except (RuntimeError, ValueError, OSError) as error:
                kind = job.source.value if job.source else "source"
                failures.append(f"{kind} → {job.target.value}: {error}")
                display.done(failures[-1])
            else:
                outcomes.append(outcome)
                display.done(f"{outcome.file.path}: {outcome.proof.summary()}")
    for folder in dict.fromkeys(job.output for job in jobs):
        files = [outcome.file for outcome in outcomes if outcome.file.path.parent == folder]
        if files:
            write_model_yaml(load_model(jobs[0].model), files, folder)
    console.print(_table(outcomes))
    for failure in failures:
        console.print(f"not written: {failure}", markup=False, highlight=False)
    if options.json is not None:
        options.json.write_text(json.dumps([_row_as_json(each) for each in outcomes]), "utf-8")
    if stop.requested:
        return stop.exit_status
    return 1 if failures or not all(outcome.proof.passed for outcome in outcomes) else 0


def _jobs(options: argparse.Namespace) -> list[ExportJob]:
    from jetson_detect.builder.export_target import ExportTarget
    from jetson_detect.builder.model_exporter import ExportJob
    from jetson_detect.commands.build_arguments import frame_source, wanted_sources
    from jetson_detect.core.model import load_model
    from jetson_detect.share import find_model

    folder = find_model(options.model)
    model = load_model(folder)
    known = {each.value: each for each in ExportTarget}
    names = list(filter(None, options.to.split(",")))
    if unknown := [name for name in names if name not in known] or not names:
        raise ValueError(f"--to {options.to}: {unknown} is not known: use {', '.join(known)}")
    sources = wanted_sources(options, model)
    return [
        ExportJob(
            folder,
            known[name],
            options.output / source.value if source and len(sources) > 1 else options.output,
            source,
            frame_source(options, "calibration"),
            frame_source(options, "proof"),
        )
        for source in sources
        for name in names
        if source is None or source in known[name].sources
    ]


def _table(outcomes: Sequence[ExportOutcome]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("source", "file"):
        table.add_column(name)
    for name in (
        "kB",
        "tensor max",
        "tensor rms",
        "mAP50 of source",
        "mAP50 truth: source, file",
        "box px p99",
        "objects: both, missed, extra",
        "source ms",
        "file ms",
        "conversion MB",
        "s",
        "proof",
    ):
        table.add_column(name, justify="right")
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    return table


def _row(outcome: ExportOutcome) -> tuple[str, ...]:
    from jetson_detect.commands.comparison_cells import comparison_cells
    from jetson_detect.core.exports.report import size_on_disk

    seen = outcome.proof.comparison
    cells: tuple[str, ...] = ("-",) * 8
    if seen is not None:
        errors = seen.tensors.errors
        largest = f"{max(error.relative for error in errors):.1e}" if errors else "-"
        cells = (largest, *comparison_cells(seen))
    return (
        outcome.source.format.value,
        outcome.file.path.name,
        f"{size_on_disk(outcome.file.path) / 1024:.0f}",
        *cells,
        f"{outcome.peak_mb:.0f}",
        f"{outcome.seconds:.0f}",
        "passed" if outcome.proof.passed else "failed",
    )


def _row_as_json(outcome: ExportOutcome) -> dict[str, Any]:
    return {
        "source": outcome.source.format.value,
        "file": str(outcome.file.path),
        "changes": list(outcome.report.changes),
        "details": dict(outcome.report.details),
        "proof": asdict(outcome.proof),
        "peak_mb": outcome.peak_mb,
    }


if __name__ == "__main__":
    sys.exit(main())
