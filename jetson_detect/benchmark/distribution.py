"""How a quantity is spread over many measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Distribution:
    """Percentiles of a number of measurements, in their own unit."""

    p50: float
    p95: float
    p99: float
    mean: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Distribution:
        """Summarise values, between two of them linearly; NaN everywhere if there are none."""
        if not len(values):
            return cls(float("nan"), float("nan"), float("nan"), float("nan"), 0)
        p50, p95, p99 = np.percentile(np.asarray(values, float), (50, 95, 99)).tolist()
        return cls(p50, p95, p99, float(np.mean(values)), len(values))
