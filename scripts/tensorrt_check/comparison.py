"""How far outputs are from the reference's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import Precision

from .check import CheckFailed
from .running import Tensors

TOLERANCE = {Precision.FP32: 0.001, Precision.FP16: 0.05}
"""How far an output may be off, as a share of its largest value."""


@dataclass(frozen=True)
class Difference:
    """How far an output is from the reference's."""

    name: str
    absolute: float
    """The largest difference; infinite if shapes differ or a number is not finite."""
    relative: float
    """The same as a share of the reference's largest value."""

    def __str__(self) -> str:
        return f"{self.name} {self.absolute:.2g} ({self.relative:.1e})"


def difference(name: str, output: NDArray[Any], reference: NDArray[Any]) -> Difference:
    """Compare an output with the reference's, in float64."""
    if output.shape != reference.shape or not np.isfinite(output).all():
        return Difference(name, float("inf"), float("inf"))
    if not output.size:
        return Difference(name, 0.0, 0.0)
    wanted = reference.astype(np.float64)
    absolute = float(np.abs(output - wanted).max())
    largest = float(np.abs(wanted).max())
    return Difference(name, absolute, absolute / largest if largest else absolute)


def differences(outputs: Tensors, reference: Tensors) -> list[Difference]:
    """Compare all outputs.

    Raises
    ------
    CheckFailed
        If they are called otherwise.

    """
    if set(outputs) != set(reference):
        raise CheckFailed(f"outputs are {', '.join(outputs)}, not {', '.join(reference)}")
    return [difference(name, outputs[name], reference[name]) for name in reference]


def worst(all_differences: Iterable[Difference]) -> list[Difference]:
    """Return the largest difference of each output."""
    by_name: dict[str, Difference] = {}
    for found in all_differences:
        known = by_name.get(found.name)
        if known is None or found.relative > known.relative:
            by_name[found.name] = found
    return list(by_name.values())


def require_close(found: Sequence[Difference], tolerance: float) -> str:
    """Return the differences as text.

    Raises
    ------
    CheckFailed
        If one is larger than the tolerance, relative.

    """
    text = "max |Δ| " + ", ".join(map(str, found))
    if any(not each.relative <= tolerance for each in found):
        raise CheckFailed(f"{text}: more than {tolerance:.0e}")
    return text
