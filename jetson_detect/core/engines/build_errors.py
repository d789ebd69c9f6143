"""What can end a build."""

from __future__ import annotations


class BuildError(RuntimeError):
    """A plan that cannot be built; the message names the file, the option and the remedy."""


class BuildCancelledError(Exception):
    """A build that was told to stop; raised by whoever is told of the progress."""
