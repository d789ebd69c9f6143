"""What is pruned, and how far."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.core.pruning.errors import PruningError
from jetson_detect.core.pruning.masks import Pattern


@dataclass(frozen=True)
class PruningOptions:
    """What is pruned, and how far.

    Raises
    ------
    PruningError
        If a number is out of its range.

    """

    pattern: Pattern = Pattern.UNSTRUCTURED
    initial_sparsity: float = 0.5
    """Share of the weights of each pruned kernel that are zero from the first batch on.  The
    pattern 2:4 is one half at once: it has no use for this, nor for the next three."""
    final_sparsity: float = 0.8
    """Share that is zero in the end."""
    ramp: float = 0.4
    """Share of the batches in which sparsity rises; then what is left settles.  Learning rates
    mostly fall: what is pruned late can no longer be made good."""
    frequency: int = 20
    """Batches between two steps of the rise."""
    prune_ends: bool = False
    """Whether the first and the last layers are pruned as well; they are small, and errors in
    them reach everything."""
    prune_depthwise: bool = False
    """Whether depthwise kernels are pruned as well: they have only some weights a channel."""
    skip: tuple[str, ...] = ()
    """Names of further layers to leave as they are; may hold ``*`` and ``?``."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.initial_sparsity <= self.final_sparsity < 1.0:
            raise PruningError(
                f"sparsity from {self.initial_sparsity:g} to {self.final_sparsity:g}: give "
                "0 <= initial_sparsity <= final_sparsity < 1"
            )
        if not 0.0 < self.ramp <= 1.0:
            raise PruningError(f"ramp {self.ramp:g}: give a share of the batches, 0 < ramp <= 1")
        if self.frequency < 1:
            raise PruningError(f"frequency {self.frequency}: give a number of batches, at least 1")
