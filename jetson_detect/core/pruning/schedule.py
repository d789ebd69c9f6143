"""How sparsity rises while a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.core.pruning.errors import PruningError


@dataclass(frozen=True)
class PolynomialSchedule:
    """Sparsity that rises fast at first, while there is much to spare, and slower to the end.

    ``s(t) = s_f + (s_i - s_f) (1 - (t - t_0) / (n Δt))³`` for t in ``t_0, t_0 + Δt, …,
    t_0 + n Δt``: equation 1 of Zhu & Gupta, "To prune, or not to prune: exploring the efficacy of
    pruning for model compression", 2017 (https://arxiv.org/abs/1710.01878).  It begins with the
    training here: t_0 is 0.
    """

    initial: float
    """s_i, the share of a kernel's weights that are zero from the first step on, 0 to 1."""
    final: float
    """s_f, the share that is reached."""
    steps: int
    """n, how many times the masks are drawn anew."""
    frequency: int
    """Δt, batches between two of them."""

    @classmethod
    def within(
        cls, batches: int, initial: float, final: float, ramp: float, frequency: int
    ) -> PolynomialSchedule:
        """Make the schedule of a training.

        Args:
            batches: how many the training has.
            initial: sparsity at its start.
            final: sparsity once it has risen.
            ramp: the share of the batches in which it rises, 0 to 1; what is left is for the
                remaining weights to settle.
            frequency: batches between two changes.

        Raises
        ------
        PruningError
            If there are fewer batches in which to rise than ``frequency``.

        """
        steps = int(batches * ramp) // frequency
        if steps < 1:
            raise PruningError(
                f"sparsity is to rise in {ramp:g} of {batches} batches, less than one step of "
                f"frequency {frequency}; train on more batches or lower frequency"
            )
        return cls(initial, final, steps, frequency)

    @property
    def end(self) -> int:
        """The batch after which sparsity stays."""
        return self.steps * self.frequency

    def sparsity(self, batch: int) -> float:
        """Return the sparsity after so many batches."""
        done = min(batch // self.frequency, self.steps)
        remaining = 1.0 - done / self.steps
        return self.final + (self.initial - self.final) * remaining**3

    def changes_after(self, batch: int) -> bool:
        """Say whether masks are drawn anew after so many batches."""
        return batch <= self.end and batch % self.frequency == 0
