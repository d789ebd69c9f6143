"""Results: one row for each check under each version, in a file and as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path


class Result(str, Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return str.__str__(self)


@dataclass(frozen=True)
class Row:
    """One check under one version."""

    version: str
    check: str
    result: Result
    text: str
    """Numbers, the error that was seen, or why it was skipped."""
    seconds: float = 0.0


def read_rows(path: Path) -> list[Row]:
    """Read the results of all runs; none if there is no file."""
    if not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Row(**{**row, "result": Result(row["result"])}) for row in rows]


def add_row(rows: Sequence[Row], row: Row) -> list[Row]:
    """Return the rows with one more; it takes the place of an older one of the same check."""
    kept = list(rows)
    for index, old in enumerate(kept):
        if (old.version, old.check) == (row.version, row.check):
            kept[index] = row
            return kept
    return [*kept, row]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the results; a file that is there is replaced as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)


def report(rows: Sequence[Row]) -> str:
    """Write the results as one table in Markdown: each check's versions below each other."""
    order = {name: index for index, name in enumerate(dict.fromkeys(row.check for row in rows))}
    lines = ["| check | TensorRT | result | |", "| --- | --- | --- | --- |"]
    for row in sorted(rows, key=lambda row: (order[row.check], _version_key(row.version))):
        text = " ".join(row.text.split()).replace("|", "\\|")
        lines.append(f"| {row.check} | {row.version} | {row.result} | {text} |")
    lines.append("")
    for version in sorted({row.version for row in rows}, key=_version_key):
        own = [row.result for row in rows if row.version == version]
        counts = ", ".join(f"{own.count(result)} {result}" for result in Result)
        lines.append(f"TensorRT {version}: {counts}.")
    return "\n".join(lines)


def _version_key(version: str) -> tuple[bool, list[int]]:
    return version.startswith("lean"), [int(part) for part in re.findall(r"\d+", version)]
