"""What a fallback chain runs, and why."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.core.backends import BackendDescription


@dataclass(frozen=True)
class Refusal:
    """Why a backend does not run though it was wanted."""

    backend: str
    """Its name in the list of backends."""
    file: str
    """The file that it was to run; empty if the model has none for it."""
    reason: str
    final: bool = False
    """Whether it is not tried again: its library or a GPU is missing, or a file for it."""
    expected: bool = True
    """Whether it was asked for by name, so that its absence is worth a warning."""
    failures: int = 1
    """In a row."""
    retry_in_s: float | None = None
    """Seconds from the status on; None if it is not tried again, or only in need."""

    def __str__(self) -> str:
        file = f" ({self.file})" if self.file else ""
        return f"{self.backend}{file}: {self.reason}"


@dataclass(frozen=True, eq=False)
class ChainStatus:
    """What runs, why, and what was refused."""

    running: BackendDescription | None
    why: str
    refusals: tuple[Refusal, ...]
    """Of backends better than the one that runs, the best first; of all if none runs."""
    takeovers: int
    """How often another backend has taken over since the start."""

    @property
    def degraded(self) -> bool:
        """Whether a backend that should run does not."""
        return self.running is None or any(
            refusal.expected or not refusal.final for refusal in self.refusals
        )
