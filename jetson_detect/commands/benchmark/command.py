"""Measure what detection costs on this machine, beside how others do it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jetson_detect.commands.benchmark.arguments import benchmark_parser
from jetson_detect.commands.stop_signals import StopSignals

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from jetson_detect.benchmark.report import Report

_EXIT_FINE, _EXIT_WORSE, _EXIT_ERROR = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 after a regression, 2 for an error."""
    with StopSignals() as stop:
        try:
            options = benchmark_parser().parse_args(arguments)
            return stop.exit_status or _run(options, stop)
        except KeyboardInterrupt:
            return stop.exit_status


def _run(options: argparse.Namespace, stop: StopSignals) -> int:
    from jetson_detect.benchmark.regression import read_ratios
    from jetson_detect.builder.stage_errors import StageError
    from jetson_detect.commands.benchmark.plots import BenchmarkPlots
    from jetson_detect.commands.benchmark.sections import measure_sections
    from jetson_detect.commands.child_processes import ChildError
    from jetson_detect.commands.comparison_plot import PlotError

    try:
        # Before hours of measuring: what is wrong with the arguments.
        expected = None if options.check is None else read_ratios(options.check)
        plots = None if options.plots is None else BenchmarkPlots(options.plots)
        report = measure_sections(options, stop)
        _write(options, report)
        if plots is not None:
            plots.write(report)
        _print(report)
        if stop.requested:
            return stop.exit_status
        return _EXIT_FINE if expected is None else _check(expected, report, options, stop)
    except (ChildError, StageError, PlotError, ValueError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return _EXIT_ERROR


def _write(options: argparse.Namespace, report: Report) -> None:
    from jetson_detect.benchmark.regression import write_ratios

    if options.json is not None:
        text = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.ratios is not None:
        write_ratios(options.ratios, report.ratios)


def _print(report: Report) -> None:
    from rich.console import Console

    from jetson_detect.commands.benchmark.tables import section_tables

    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(str(report.machine), highlight=False, markup=False)
    for section in report.sections:
        console.print(f"\n{section.name}: {section.title}", highlight=False, markup=False)
        for table in section_tables(section):
            console.print(table)
        for note in section.notes:
            console.print(f"not measured: {note}", highlight=False, markup=False)


def _check(
    expected: dict[str, float], report: Report, options: argparse.Namespace, stop: StopSignals
) -> int:
    """Compare with ratios of an earlier run; of the sections that were measured.

    What is worse is measured again: a neighbour on the same machine may have been busy meanwhile.
    """
    from jetson_detect.benchmark.regression import find_regressions
    from jetson_detect.commands.benchmark.sections import measure_sections

    measured = {section.name for section in report.sections}
    wanted = {name: value for name, value in expected.items() if name.split()[0] in measured}
    worse = find_regressions(wanted, report.ratios)
    _tell("worse, measured again", worse)
    if worse:
        again = measure_sections(options, stop, only={name.split()[0] for name in worse})
        if stop.requested:
            return stop.exit_status
        worse = find_regressions({name: wanted[name] for name in worse}, again.ratios)
    _tell("worse", worse)
    if not worse:
        print(f"none of {len(wanted)} ratios is worse than in {options.check}")
    return _EXIT_WORSE if worse else _EXIT_FINE


def _tell(heading: str, regressions: dict[str, str]) -> None:
    for text in regressions.values():
        print(f"{heading}: {text}", file=sys.stderr)
