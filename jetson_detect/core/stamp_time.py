"""Header stamps as whole nanoseconds."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
"""Nanoseconds in a second."""


def to_nanoseconds(sec: int, nanosec: int) -> int:
    """Return a stamp, as ``builtin_interfaces/Time`` has it, in nanoseconds."""
    return sec * SECOND_NS + nanosec
