"""All that a run of the benchmark has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jetson_detect.benchmark.machine import Machine
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.rows import CostRow, StreamRow


@dataclass(frozen=True)
class Section:
    """What one level has found."""

    name: str
    """A word; the ratios' names begin with it."""
    title: str
    """What was measured, and how, in a line."""
    costs: tuple[CostRow, ...] = ()
    streams: tuple[StreamRow, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return {
            "name": self.name,
            "title": self.title,
            "costs": [row.to_json() for row in self.costs],
            "streams": [row.to_json() for row in self.streams],
            "ratios": {each.name: each.value for each in self.ratios},
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Report:
    """The sections of a run, and where it ran."""

    machine: Machine
    sections: Sequence[Section]

    @property
    def ratios(self) -> list[Ratio]:
        """Those of all sections."""
        return [ratio for section in self.sections for ratio in section.ratios]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return {
            "machine": asdict(self.machine),
            "sections": [section.to_json() for section in self.sections],
        }
