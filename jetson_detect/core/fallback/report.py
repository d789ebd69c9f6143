"""What a fallback chain has to say when something changes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jetson_detect.core.fallback.status import ChainStatus


class Severity(Enum):
    """How a change is logged."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, eq=False)
class Report:
    """A change of a chain's status."""

    status: ChainStatus
    severity: Severity = Severity.INFO
    text: str = ""
    """For the log; empty if it says nothing new."""
