"""What came of builds, as one table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from jetson_detect.builder.outcome import BuildOutcome
from jetson_detect.commands.comparison_cells import comparison_cells
from jetson_detect.core.engines.proof import Proof

_COLUMNS = (
    ("model", "left"),
    ("precision", "left"),
    ("proven against", "left"),
    ("came of it", "left"),
    ("build s", "right"),
    ("plan MB", "right"),
    ("layers", "left"),
    ("tensor rms", "right"),
    ("mAP50 of source", "right"),
    ("mAP50 truth: source, engine", "right"),
    ("box px p99", "right"),
    ("objects: both, missed, extra", "right"),
    ("source ms", "right"),
    ("engine ms", "right"),
    ("x", "right"),
)


def build_table(outcomes: Sequence[BuildOutcome]) -> Table:
    """Make a table of engines and their proofs."""
    table = Table(box=box.SIMPLE_HEAD)
    for name, side in _COLUMNS:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    return table


def _row(outcome: BuildOutcome) -> tuple[str, ...]:
    identity, sidecar = outcome.identity, outcome.entry.sidecar
    seconds = sidecar.record.timing.get("build")
    return (
        identity.model,
        f"{identity.precision} ({identity.machine.tensorrt})",
        _source(outcome.proof),
        outcome.kind.value,
        "" if seconds is None else f"{seconds:.0f}",
        f"{sidecar.plan_size / (1 << 20):.1f}",
        *_proof(outcome.proof),
    )


def _source(proof: Proof) -> str:
    seen = proof.comparison
    return "" if seen is None else f"{seen.source.file} ({seen.source.runtime})"


def _proof(proof: Proof) -> tuple[str, ...]:
    seen = proof.comparison
    if seen is None:
        return ("",) * 9
    return (
        " ".join(f"{count} {name}" for name, count in (seen.layers or {}).items() if count),
        *comparison_cells(seen),
        f"{seen.speedup:.1f}",
    )
