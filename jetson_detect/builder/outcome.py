"""What came of a build."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from jetson_detect.core.engines.entry import Entry
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.proof import Proof


class OutcomeKind(str, Enum):
    """How a build ended."""

    PROMOTED = "promoted"
    """Built, proven and put into the cache."""
    FOUND = "found"
    """It was in the cache already."""
    SET_ASIDE = "set aside"
    """Built, but it failed its proof: kept with its report, and not for use."""


@dataclass(frozen=True)
class BuildOutcome:
    """What came of a build that ran to its end."""

    kind: OutcomeKind
    entry: Entry
    """The plan and its sidecar; one that was set aside is not for use."""
    proof: Proof
    seconds: float
    """What it took just now."""

    @property
    def identity(self) -> EngineIdentity:
        """What was built, for what and how."""
        return self.entry.identity

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing: what was changed in the network, skipped tactics, warnings."""
        return (*self.entry.record.changes, *self.entry.record.warnings)

    @property
    def usable(self) -> bool:
        """Whether there is an engine in the cache now."""
        return self.kind is not OutcomeKind.SET_ASIDE

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries, for whoever compares machines."""
        record = self.entry.record
        return {
            "outcome": self.kind.value,
            "identity": self.identity.to_json(),
            "proof": self.proof.to_json(),
            "timing": dict(record.timing),
            "notes": list(self.notes),
            "plan_bytes": self.entry.sidecar.plan_size,
        }

    def __str__(self) -> str:
        engine = f"{self.identity.model} {self.identity.precision}"
        if self.kind is OutcomeKind.FOUND:
            return f"{engine}: is in the cache already: {self.proof.summary()}"
        if self.kind is OutcomeKind.PROMOTED:
            return f"{engine}: promoted after {self.seconds:.0f} s: {self.proof.summary()}"
        return (
            f"{engine}: built in {self.seconds:.0f} s, but it failed its proof: "
            f"{'; '.join(self.proof.failures)}; kept aside in {self.entry.folder}"
        )
