"""A check: how it ends, and how checks are run one after the other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .rows import Result, Row, add_row, read_rows, write_rows


class CheckFailed(Exception):  # noqa: N818
    """What a check found wrong."""


class CheckSkipped(Exception):  # noqa: N818
    """Why a check could not be done."""


@dataclass(frozen=True)
class Check:
    """A row to be."""

    name: str
    run: Callable[[], str]
    """Returns numbers; raises CheckFailed, CheckSkipped or whatever goes wrong."""


def perform(check: Check, version: str) -> Row:
    """Run a check; whatever goes wrong is a row."""
    start = time.monotonic()
    try:
        result, text = Result.OK, check.run()
    except CheckSkipped as error:
        result, text = Result.SKIPPED, str(error)
    except CheckFailed as error:
        result, text = Result.FAILED, str(error)
    except Exception as error:
        traceback.print_exc()
        result, text = Result.FAILED, f"{type(error).__name__}: {error}"
    return Row(version, check.name, result, text, round(time.monotonic() - start, 1))


def run_checks(checks: Iterable[Check], version: str, results: Path) -> int:
    """Run checks one after the other; return how many failed."""
    start = time.monotonic()
    rows = read_rows(results)
    failed = 0
    for check in checks:
        print(f"[{time.monotonic() - start:6.1f} s] {check.name} …", flush=True)
        row = perform(check, version)
        failed += row.result is Result.FAILED
        rows = add_row(rows, row)
        write_rows(results, rows)
        print(f"           {row.result.value} ({row.seconds:.1f} s): {row.text}", flush=True)
    return failed
