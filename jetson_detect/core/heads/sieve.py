"""Which of a network's candidates are worth reading, told from its outputs as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jetson_detect.core.heads.scores import Activation, raw_limit
from jetson_detect.core.selection import Selection


@dataclass(frozen=True)
class Sieve:
    """Says of each candidate whether a head could make a detection of it.

    A candidate passes if one of its compared numbers reaches :meth:`limit`, or that much more than
    the subtracted one.  All that become detections pass; others may.
    """

    scores: str
    """The output that is compared: (1, N, columns) or (1, columns, N)."""
    columns: int
    """Its numbers for each candidate."""
    first: int
    """The first of them that is compared."""
    compared: int
    """How many are, from there on."""
    activation: Activation = Activation.NONE
    """What turns them into scores."""
    subtracted: int | None = None
    """The column of the background, where the scores are a softmax."""
    others: Mapping[str, int] = field(default_factory=dict)
    """The other outputs with a row for each candidate, and its numbers."""

    @property
    def outputs(self) -> set[str]:
        """All that it reads."""
        return {self.scores, *self.others}

    def limit(self, selection: Selection) -> float:
        """Return what has to be reached; minus infinity where all pass."""
        return raw_limit(selection.score_threshold, self.activation)

    def renamed(self, names: Mapping[str, str]) -> Sieve:
        """Return the same with other names for the outputs."""
        others = {names[part]: columns for part, columns in self.others.items()}
        return replace(self, scores=names[self.scores], others=others)
