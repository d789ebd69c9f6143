"""What goes wrong in pruning."""

from __future__ import annotations


class PruningError(RuntimeError):
    """A model that cannot be pruned so; the message names file, layer or option and the remedy."""
