"""What a walk through the source found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Finding:
    """Something at a line of the source."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass
class Findings:
    """What a walk found."""

    violations: set[Finding] = field(default_factory=set)
    """What this version lacks, or would not take."""
    unknown: set[Finding] = field(default_factory=set)
    """What looks like the API and could not be checked."""
    resolved: set[Finding] = field(default_factory=set)
    """What was checked and is there, as ``ICudaEngine.num_io_tensors``."""
    reached: set[int] = field(default_factory=set)
    """Ids of the attribute nodes that are not behind a closed guard."""
    guards: set[str] = field(default_factory=set)
    """Fields of the version table that were asked."""
