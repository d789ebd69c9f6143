"""Measurements beside the one that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jetson_detect.core.backend_measurement import BackendMeasurement

Quantity = Callable[[BackendMeasurement], "float | None"]
"""One of a measurement's numbers; None or NaN where it was not measured."""


def inference_fps(row: BackendMeasurement) -> float | None:
    """Return inferences a second, one after the other."""
    return _known(row.latency.inference.per_second)


def detection_fps(row: BackendMeasurement) -> float | None:
    """Return whole detections a second, one after the other."""
    return _known(row.latency.detection.per_second)


def runtime_of(row: BackendMeasurement) -> str:
    """Return the library and its version, with the backend's name where that is another."""
    same = row.runtime.lower().startswith(row.backend)
    return row.runtime if same else f"{row.backend} ({row.runtime})"


@dataclass(frozen=True)
class ComparedRow:
    """A measurement, and the reference's on the same machine."""

    measured: BackendMeasurement
    reference: BackendMeasurement | None

    @property
    def is_reference(self) -> bool:
        """Whether the others are compared with this one."""
        return self.measured is self.reference

    def ratio(self, quantity: Quantity) -> float | None:
        """Return how many times the reference's number this one's is; None where one is unknown."""
        value = quantity(self.measured)
        base = None if self.reference is None else quantity(self.reference)
        return value / base if value is not None and base else None


def compare_rows(
    machines: Sequence[Sequence[BackendMeasurement]], reference_name: str
) -> list[ComparedRow]:
    """Find each measurement's reference: the first of the backend of that name.

    Parameters
    ----------
    machines:
        Measurements by the machine that they were made on.  A machine without the reference takes
        another's: of its own if there is one, since another OpenCV resizes pictures a little
        differently, and another machine is faster or slower as a whole.
    reference_name:
        The backend.

    """
    rows = []
    for machine in machines:
        candidates = [*machine, *(row for other in machines for row in other)]
        reference = next((row for row in candidates if row.backend == reference_name), None)
        rows += [ComparedRow(row, reference) for row in machine]
    return rows


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
