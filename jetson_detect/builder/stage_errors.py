"""How a stage of a build ends when it does not end well."""

from __future__ import annotations


class StageError(RuntimeError):
    """A stage that failed or was killed; the message names the stage, the reason and the remedy."""


class BuildCancelledError(RuntimeError):
    """A build that was told to stop; nothing of it is left."""
