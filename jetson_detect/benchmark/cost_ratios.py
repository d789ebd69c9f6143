"""Ratios between the ways to do one thing."""

from __future__ import annotations

from collections.abc import Sequence

from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.rows import CostRow


def compare_costs(section: str, rows: Sequence[CostRow], ours: str) -> tuple[Ratio, ...]:
    """Divide the cost of each other way by that of ours, case by case.

    Parameters
    ----------
    section:
        What the ratios' names begin with.
    rows:
        Of any number of cases.
    ours:
        The way that the others are compared with; cases without it are left out.

    """
    own = {row.case: row for row in rows if row.way == ours}
    return tuple(
        Ratio.of(f"{section} {row.case}: {row.way} / {ours}", row.rounds, own[row.case].rounds)
        for row in rows
        if row.way != ours and row.case in own
    )
