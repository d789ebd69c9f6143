"""Check the tensorrt backend against the real TensorRT on a machine with an NVIDIA GPU.

Usage: check_tensorrt.py [--output DIR] [--results FILE]    run the checks under this interpreter
       check_tensorrt.py --lean …                           with tensorrt_lean instead of tensorrt
       check_tensorrt.py --report FILE                      one table of all versions that were run

Plans are built, compared with ONNX Runtime on the CPU and timed; features are tried; faults are
injected, each in a process of its own, which has to report the error and go on.  Every check is a
row of FILE, written as soon as it is known; rows of other versions are kept.  The exit status is 1
if a check failed.

Run it with the interpreter that has TensorRT, once for each version, with the same DIR: plans of
one version are what the next one must refuse.  It needs tensorrt, pycuda, numpy, cv2, yaml,
jsonschema, onnx and onnxruntime; with ``--lean`` only tensorrt_lean, numpy, yaml and jsonschema.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from jetson_detect.commands.numbers import at_least
from jetson_detect.core.backends import BackendError, TensorrtRuntime
from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.access import open_library

from .bench import Bench
from .check import run_checks
from .comparison import TOLERANCE
from .isolation import probe_named, run_probe
from .plans import PRECISIONS
from .probes import ProbeCase
from .registry import full_checks, lean_checks
from .rows import read_rows, report
from .subjects import SUBJECTS


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="print the table and end")
    parser.add_argument(
        "--output", type=Path, default=Path("tensorrt_results"), help="folder for plans and models"
    )
    parser.add_argument("--results", type=Path, help="default: results.json in the output folder")
    parser.add_argument("--lean", action="store_true", help="check tensorrt_lean")
    parser.add_argument("--models", type=_subjects, default=list(SUBJECTS), metavar="A,B")
    parser.add_argument(
        "--precisions",
        type=_precisions,
        default=list(PRECISIONS),
        metavar="fp32,fp16",
    )
    for option, meaning in (("--only", "these checks"), ("--skip", "all checks but these")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"{meaning}; * and ? as in file names; may be given again",
        )
    parser.add_argument(
        "--minutes",
        type=at_least(float, 0),
        help="start no build after this time; the table says which were left out",
    )
    parser.add_argument("--reuse", action="store_true", help="take plans that are there already")
    parser.add_argument(
        "--runs", type=at_least(int, 1), default=300, help="timed runs of each plan"
    )
    parser.add_argument("--list", action="store_true", help="print the checks' names and end")
    for option in ("--probe", "--plan", "--answer"):  # how the script calls itself
        parser.add_argument(option, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _subjects(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: use some of {', '.join(SUBJECTS)}")
    return names


def _precisions(text: str) -> list[Precision]:
    try:
        found = [Precision(name) for name in text.split(",") if name]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if set(found) - set(TOLERANCE):
        raise argparse.ArgumentTypeError("use fp32, fp16 or both")
    return found


def wanted(name: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    """Whether a check is to be done."""
    chosen = not only or any(fnmatch(name, pattern) for pattern in only)
    return chosen and not any(fnmatch(name, pattern) for pattern in skip)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = parse(arguments)
    if options.report is not None:
        rows = read_rows(options.report)
        print(report(rows) if rows else f"{options.report}: no results")
        return 0 if rows else 1
    runtime = TensorrtRuntime.LEAN if options.lean else TensorrtRuntime.FULL
    output = options.output.resolve()
    if options.probe is not None:
        with tempfile.TemporaryDirectory() as folder:
            case = ProbeCase(Path(options.plan), Path(folder), output, runtime)
            run_probe(probe_named(options.probe, options.lean), case, Path(options.answer))
        return 0
    output.mkdir(parents=True, exist_ok=True)
    try:
        library = open_library(runtime)
    except BackendError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if options.lean:
        checks, version = lean_checks(output), f"lean {library.version}"
    else:
        deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        bench = Bench(output, library.version, library, deadline, options.reuse, runs=options.runs)
        checks, version = full_checks(bench, options.models, options.precisions), library.version
    chosen = [check for check in checks if wanted(check.name, options.only, options.skip)]
    if options.list:
        print("\n".join(check.name for check in chosen))
        return 0
    failed = run_checks(chosen, version, options.results or output / "results.json")
    print(f"{failed} of {len(chosen)} checks failed")
    return 1 if failed else 0
