"""Build TensorRT engines of models, prove them and put them into the cache."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jetson_detect.builder.job import BuildJob
    from jetson_detect.builder.outcome import BuildOutcome

_DESCRIPTION = """\
Build a TensorRT engine of a model on the machine that is to run it: its SavedModel, Keras file,
frozen graph or ONNX file becomes a plan, the plan has to agree with its source on frames, and only
then it goes into the cache, from which the detector takes it.  What the cache has already is not
built again.  Every stage is a process of its own; Ctrl-C ends it and leaves nothing behind.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0 if every engine is in the cache now, 1 if one is not, 2 for wrong arguments, 130 or 143 if it
    was stopped.
    """
    return _run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    from jetson_detect.commands.build_arguments import (
        add_build_arguments,
        add_cache_arguments,
        add_source_argument,
    )

    parser = argparse.ArgumentParser(prog="build_engine", description=_DESCRIPTION)
    parser.add_argument(
        "models", nargs="*", default=["demo"], help="folders with a model.yaml, or models' names"
    )
    parser.add_argument(
        "--precision",
        type=_precisions,
        default="fp16",
        metavar="NAME,…",
        help="fp32, fp16, bf16, int8, fp8; several by commas (default: %(default)s)",
    )
    add_source_argument(parser, "which of the model's files to build from; all: each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what came of each")
    add_cache_arguments(parser)
    add_build_arguments(parser)
    return parser


def _precisions(text: str) -> list[str]:
    from jetson_detect.core.model import Precision

    known = [each.value for each in Precision]
    names = list(filter(None, text.split(",")))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"'{text}': use some of {', '.join(known)}")
    return names


def _run(options: argparse.Namespace) -> int:
    # Imported here so that --help answers at once.
    from rich.console import Console

    from jetson_detect.builder.engine_builder import EngineBuilder
    from jetson_detect.builder.stage_errors import BuildCancelledError
    from jetson_detect.commands.build_arguments import open_cache, stage_limits
    from jetson_detect.commands.build_display import BuildDisplay
    from jetson_detect.commands.build_table import build_table
    from jetson_detect.commands.stop_signals import StopSignals
    from jetson_detect.core.engines.cache import CacheError

    console = Console(width=None if sys.stdout.isatty() else 190)
    try:
        jobs = _jobs(options)
        cache = open_cache(options)
    except (ValueError, OSError) as error:
        print(f"build_engine: {error}", file=sys.stderr)
        return 2
    outcomes: list[BuildOutcome] = []
    failed = 0
    with StopSignals() as stop, BuildDisplay(console, stop) as display:
        try:
            with EngineBuilder(cache, stage_limits(options), display.show) as builder:
                for job in jobs:
                    try:
                        outcome = builder.build(job, display.cancel)
                    except BuildCancelledError:
                        break
                    except (RuntimeError, ValueError, OSError) as error:
                        failed += 1
                        display.done(f"{job.model.name} {job.options.precision.value}: {error}")
                    else:
                        outcomes.append(outcome)
                        display.done(str(outcome))
                        for note in outcome.notes:
                            display.done(f"    {note}")
        except CacheError as error:
            print(f"build_engine: {error}", file=sys.stderr)
            return 1
    if outcomes:
        console.print(build_table(outcomes))
    if options.json is not None:
        rows = [outcome.to_json() for outcome in outcomes]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if stop.requested:
        return stop.exit_status
    return 1 if failed or not all(outcome.usable for outcome in outcomes) else 0


def _jobs(options: argparse.Namespace) -> list[BuildJob]:
    """Spell out what is to be built: every model from every source in every precision."""
    from dataclasses import replace

    from jetson_detect.builder.sources import choose_source
    from jetson_detect.commands.build_arguments import job_of, wanted_sources
    from jetson_detect.core.model import Precision, load_model
    from jetson_detect.share import find_model

    jobs = []
    for name in options.models:
        folder = find_model(name)
        model = load_model(folder)
        for each in wanted_sources(options, model):
            choose_source(model, each)
            jobs += [
                replace(job_of(options, folder, Precision(precision)), source=each)
                for precision in options.precision
            ]
    return jobs


if __name__ == "__main__":
    sys.exit(main())
