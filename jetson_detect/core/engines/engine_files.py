"""The engines that a running detector may load for its model."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.core.model import ModelFile, Precision


@dataclass(frozen=True)
class EngineFiles:
    """What was built for a model, beside the files that it brings itself."""

    files: tuple[ModelFile, ...] = ()
    """Proven engines that fit this machine, best first."""
    refusals: tuple[str, ...] = ()
    """Why others, that were built as well, cannot be used."""
    absence: str = ""
    """That none was built yet, where that is so."""

    def of(self, precision: Precision | None) -> tuple[ModelFile, ...]:
        """Return the files of one precision; all of them for None."""
        return tuple(file for file in self.files if precision in (None, file.precision))
