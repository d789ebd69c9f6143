"""What keeps a proof from being made, as against what a proof finds."""

from __future__ import annotations


class ProofError(RuntimeError):
    """A proof that cannot be made; the message names the file or frames and the remedy."""


class FaultyNetworkError(ProofError):
    """A network that does not load, does not fit its model, or fails on a frame."""
