"""Measure every backend that can run a model, and print one table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.commands.numbers import at_least

if TYPE_CHECKING:
    from jetson_detect.core.backend_measurement import BackendMeasurement
    from jetson_detect.core.backends.choice import BackendChoice
    from jetson_detect.core.engines.engine_files import EngineFiles
    from jetson_detect.core.model import ModelSpec

_DESCRIPTION = """\
Measure every backend that can run a model, and every engine that was built of it here, each in a
process of its own, and print one table: how far its detections are from the reference's, how good
they are on drawn scenes (a model of the demo's classes), how long an inference and a whole
detection take and how many there are a second, resident and GPU memory, and the time from the start
of the process to the first detection.
"""
_TIMEOUT_S = 600.0
_SETTLE_S = 1.0
"""Before each measurement, for the GPU to take back the memory of the last one and to cool."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 if a backend did not run, 2 for an error."""
    return _run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    from jetson_detect.core.backend_measurement import MeasurementTask
    from jetson_detect.core.engines.cache_folder import default_cache_folder

    parser = argparse.ArgumentParser(
        prog="compare_backends",
        description=_DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "model", nargs="?", default="demo", help="folder with a model.yaml, or a model's name"
    )
    parser.add_argument(
        "--backends", default="tflite,onnxruntime,tensorflow,tensorrt", help="which, in this order"
    )
    parser.add_argument(
        "--reference", default="onnxruntime", help="backend that the others are compared with"
    )
    for name, lowest, text in (
        ("pictures", 1, "drawn pictures"),
        ("warm-up", 0, "runs of each before the timed ones"),
        ("runs", 1, "timed runs of each, of the inference alone and of the whole detection"),
    ):
        parser.add_argument(
            f"--{name}",
            type=at_least(int, lowest),
            default=getattr(MeasurementTask, name.replace("-", "_")),
            metavar="N",
            help=text,
        )
    parser.add_argument(
        "--threads", type=at_least(int, 0), default=0, metavar="N", help="CPU threads; 0: default"
    )
    parser.add_argument(
        "--engine-cache",
        type=Path,
        default=default_cache_folder(),
        metavar="FOLDER",
        help="folder of the engines that build_engine makes",
    )
    parser.add_argument("--no-engines", action="store_true", help="leave these engines out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the measurements")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="also draw throughput and memory"
    )
    parser.add_argument(
        "--add",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="show measurements that --json wrote on another machine too",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    # Imported here so that --help answers at once.
    from rich.console import Console

    from jetson_detect.builder.stage_errors import StageError
    from jetson_detect.commands.comparison_plot import ComparisonPlot, PlotError
    from jetson_detect.commands.comparison_rows import compare_rows
    from jetson_detect.commands.comparison_table import comparison_table
    from jetson_detect.core.backend_measurement import BackendMeasurement
    from jetson_detect.core.backends.choice import check_names, find_choices
    from jetson_detect.core.model import ModelError, load_model
    from jetson_detect.share import find_model

    names = tuple(filter(None, options.backends.split(",")))
    try:
        plot = None if options.plot is None else ComparisonPlot(options.plot)
        model = load_model(find_model(options.model))
        added = [
            [BackendMeasurement.from_json(row) for row in json.loads(file.read_text("utf-8"))]
            for file in options.add
        ]
        if names:
            check_names(names)
    except (ModelError, PlotError, ValueError, OSError, TypeError, KeyError) as error:
        print(f"compare_backends: {error}", file=sys.stderr)
        return 2
    engines = _find_engines(model, names, options)
    choices, missing = find_choices(model, names, engines=engines) if names else ((), ())
    absent = [f"{each.backend}: {each.reason}" for each in missing]
    if engines.files:
        absent += [f"tensorrt: {each}" for each in engines.refusals]
    measured: list[BackendMeasurement] = []
    failed: list[str] = []
    for choice in choices:
        file = _file_name(choice, engines)
        name = f"{choice.backend} ({file})"
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            measured.append(replace(_measure(name, model, choice, options), file=file))
        except StageError as error:
            failed.append(str(error))
    if options.json is not None:
        rows = [row.to_json() for row in measured]
        options.json.write_text(json.dumps(rows), encoding="utf-8")
    compared = compare_rows([measured, *added], options.reference)
    console = Console(width=None if sys.stdout.isatty() else 190)
    console.print(comparison_table(compared, model.thresholds.score))
    for text in (*absent, *failed):
        console.print(f"not measured: {text}", highlight=False, markup=False)
    if plot is not None:
        try:
            plot.write(f"model '{model.name}'", compared)
        except PlotError as error:
            print(f"compare_backends: {error}", file=sys.stderr)
            return 1
    return 1 if failed else 0


def _find_engines(
    model: ModelSpec, names: Sequence[str], options: argparse.Namespace
) -> EngineFiles:
    """Look into the cache of engines, in a child process: TensorRT is large."""
    from jetson_detect.builder.stage_errors import StageError
    from jetson_detect.builder.stage_limits import StageLimits
    from jetson_detect.builder.stage_process import run_stage
    from jetson_detect.builder.stage_remedies import StageRemedies
    from jetson_detect.commands.comparison_stages import EngineSearch, find_engines
    from jetson_detect.core.backends.choice import NO_ENGINES, has_gpu
    from jetson_detect.core.engines.engine_files import EngineFiles

    if options.no_engines or "tensorrt" not in names or not has_gpu():
        return NO_ENGINES
    search = EngineSearch(options.engine_cache, model)
    limits = StageLimits(deadline_s=_TIMEOUT_S, niceness=0)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return run_stage(
                "the cache of engines",
                find_engines,
                search,
                Path(scratch) / "log",
                limits=limits,
                remedies=StageRemedies(deadline="go without it (--no-engines)"),
            ).value
        except StageError as error:
            return EngineFiles(refusals=(str(error),))


def _file_name(choice: BackendChoice, engines: EngineFiles) -> str:
    """Return a file's name; of an engine the folder's, with as much of its key as one is shown."""
    from jetson_detect.core.engines.entry import SHORT_KEY
    from jetson_detect.core.engines.identity import KEY_LENGTH

    path = choice.file.path
    if choice.file not in engines.files:
        return path.name
    labelled, _, _ = path.parent.name.rpartition("-")
    return labelled[: SHORT_KEY - KEY_LENGTH]


def _measure(
    name: str, model: ModelSpec, choice: BackendChoice, options: argparse.Namespace
) -> BackendMeasurement:
    """Measure in a child process.

    Raises
    ------
    StageError
        If it fails.

    """
    from jetson_detect.builder.stage_limits import StageLimits
    from jetson_detect.builder.stage_process import run_stage
    from jetson_detect.builder.stage_remedies import StageRemedies
    from jetson_detect.commands.comparison_stages import measure
    from jetson_detect.core.backend_measurement import MeasurementTask
    from jetson_detect.core.backends import BackendOptions
    from jetson_detect.core.backends.choice import has_gpu
    from jetson_detect.core.gpu_memory import used_gpu_mb

    if has_gpu():
        time.sleep(_SETTLE_S)
    task = MeasurementTask(
        model,
        choice,
        BackendOptions(threads=options.threads),
        options.pictures,
        options.warm_up,
        options.runs,
        used_gpu_mb=used_gpu_mb(),
        started_at=time.time(),
    )
    limits = StageLimits(deadline_s=_TIMEOUT_S, niceness=0)
    remedies = StageRemedies(deadline="ask for less (--pictures, --runs)")
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        return run_stage(name, measure, task, log, limits=limits, remedies=remedies).value


if __name__ == "__main__":
    sys.exit(main())
