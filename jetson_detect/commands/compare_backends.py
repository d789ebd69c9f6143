"""Measure every backend that can run a model, and print one table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetson_detect.commands.numbers import at_least

if TYPE_CHECKING:
    from jetson_detect.core.backend_measurement import BackendMeasurement
    from jetson_detect.core.backends.choice import BackendChoice
    from jetson_detect.core.model import ModelSpec

_DESCRIPTION = """\
Measure every backend that can run a model, each in a process of its own, and print one table: how
far its detections are from the reference's, how good they are on drawn scenes (a model of the
demo's classes), how long an inference and a whole detection take, resident memory, and the time
from the start of the process to the first detection.
"""
_TIMEOUT_S = 600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 if a backend did not run, 2 for an error."""
    return _run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument(
        "--pictures", type=at_least(int, 1), default=200, metavar="N", help="drawn pictures"
    )
    parser.add_argument(
        "--runs", type=at_least(int, 1), default=300, metavar="N", help="timed runs of each"
    )
    parser.add_argument(
        "--threads", type=at_least(int, 0), default=0, metavar="N", help="CPU threads; 0: default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the measurements")
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
    from jetson_detect.core.backend_measurement import BackendMeasurement
    from jetson_detect.core.backends.choice import find_choices
    from jetson_detect.core.model import ModelError, load_model
    from jetson_detect.share import find_model

    names = tuple(filter(None, options.backends.split(",")))
    measured: list[BackendMeasurement] = []
    refused: list[tuple[str, str]] = []
    try:
        folder = find_model(options.model)
        model = load_model(folder)
        added = [
            [BackendMeasurement.from_json(row) for row in json.loads(file.read_text("utf-8"))]
            for file in options.add
        ]
        choices, missing = find_choices(model, names) if names else ((), ())
    except (ModelError, ValueError, OSError, TypeError, KeyError) as error:
        print(f"compare_backends: {error}", file=sys.stderr)
        return 2
    refused += [(each.backend, each.reason) for each in missing]
    numbers: dict[str, int] = {}
    for choice in choices:
        index = numbers[choice.backend] = numbers.get(choice.backend, -1) + 1
        print(f"measuring {choice} …", file=sys.stderr, flush=True)
        row, reason = _measure(choice, index, folder, options)
        if row is not None:
            measured.append(row)
        else:
            refused.append((str(choice), reason))
    if options.json is not None:
        rows = [row.to_json() for row in measured]
        options.json.write_text(json.dumps(rows), encoding="utf-8")
    _print_table(model, [measured, *added], refused, options.reference)
    return 1 if len(refused) > len(missing) else 0


def _measure(
    choice: BackendChoice, index: int, folder: Path, options: argparse.Namespace
) -> tuple[BackendMeasurement | None, str]:
    """Measure in a child process; return why not, if it fails."""
    from jetson_detect.core.backend_measurement import BackendMeasurement

    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "measurement.json"
        command: list[Any] = [sys.executable, "-m", "jetson_detect.commands.measure_backend"]
        command += [folder, choice.backend, index, "--output", output]
        command += ["--pictures", options.pictures, "--runs", options.runs]
        command += ["--threads", options.threads, "--started-at", time.time()]
        try:
            done = subprocess.run(
                [*map(str, command)],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, f"not ready after {_TIMEOUT_S:.0f} s"
        if done.returncode != 0:
            last = (done.stderr.strip() or "nothing").splitlines()[-1]
            ended = f"killed by signal {-done.returncode}: " if done.returncode < 0 else ""
            return None, ended + last
        document = json.loads(output.read_text(encoding="utf-8"))
        return BackendMeasurement.from_json(document), ""


def _print_table(
    model: ModelSpec,
    machines: Sequence[Sequence[BackendMeasurement]],
    refused: Sequence[tuple[str, str]],
    reference_name: str,
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("backend", "file", "on"):
        table.add_column(name, overflow="fold")
    for name in ("max Δ px", "max Δ score", "missed", "extra", "mAP50", "mAP75"):
        table.add_column(name, justify="right")
    for name in ("inference ms", "detect ms", "RSS MB", "start-up s"):
        table.add_column(name, justify="right")
    for rows in machines:
        # Of the same machine if it has one: another OpenCV resizes pictures a little differently.
        candidates = [*rows, *(row for other in machines for row in other)]
        reference = next((row for row in candidates if row.backend == reference_name), None)
        for row in rows:
            table.add_row(
                f"{row.backend} ({row.runtime})",
                f"{row.file} {row.precision}",
                row.device,
                *_parity(row, reference, model.thresholds.score),
                *("-" if value is None else f"{value:.3f}" for value in (row.map50, row.map75)),
                f"{row.inference_ms:.2f}",
                f"{row.detect_ms:.2f}",
                f"{row.rss_mb:.0f}",
                f"{row.start_up_s:.2f}",
            )
    console = Console(width=None if sys.stdout.isatty() else 190)
    console.print(table)
    for name, reason in refused:
        console.print(f"not measured: {name}: {reason}", highlight=False, markup=False)


def _parity(
    row: BackendMeasurement, reference: BackendMeasurement | None, score_threshold: float
) -> tuple[str, str, str, str]:
    """Write how far a row's detections are from the reference's."""
    from jetson_detect.core.agreement import compare_detections

    if row is reference:
        return ("reference", "", "", "")
    if reference is None or len(row.detections) != len(reference.detections):
        return ("-", "-", "-", "-")
    found = compare_detections(row.found(), reference.found(), score_threshold)
    return (
        f"{found.box_px:.4f}",
        f"{found.score:.5f}",
        str(found.missed),
        str(found.extra),
    )


if __name__ == "__main__":
    sys.exit(main())
