"""How many times better one contestant is than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """A cost over another one; above 1 the second is the cheaper."""

    name: str
    """What is compared: ``node 1920x1080 CPU: plain / ours``."""
    value: float

    @classmethod
    def of(cls, name: str, baseline: Sequence[float], ours: Sequence[float]) -> Ratio:
        """Divide round by round, and take the median.

        What slows the machine down for a while slows both costs of a round down.

        Parameters
        ----------
        name:
            What is compared.
        baseline, ours:
            (rounds,): costs of the same rounds.

        Raises
        ------
        ValueError
            If the rounds are not the same number, or there are none.

        """
        if len(baseline) != len(ours) or not ours:
            raise ValueError(f"{name}: {len(baseline)} rounds over {len(ours)}; measure both alike")
        return cls(name, median(a / b for a, b in zip(baseline, ours)))
