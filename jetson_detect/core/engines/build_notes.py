"""What TensorRT said about a build besides the plan: tactics it skipped, memory it missed."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass

_SKIPPED = re.compile(r"skipping tactic", re.IGNORECASE)
# "Tactic Device request: 4000MB Available: 2000MB. Device memory is insufficient to use tactic."
# The size in "Skipping tactic" is of no use: MB in 8.5 and 8.6, bytes in later versions.
_REQUEST = re.compile(r"tactic device request:\s*(\d+)\s*MB\s*available:\s*(\d+)\s*MB", re.I)
_SHORTAGE = re.compile(r"do not have sufficient workspace memory", re.IGNORECASE)
_ADDRESS_OR_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")

_HARMLESS = re.compile(r"generated with INT64 weights", re.IGNORECASE)
"""Said of every file: shapes and indices are INT64 in ONNX, and INT32 does for them."""

_MOST_WARNINGS = 50


@dataclass(frozen=True)
class BuildNotes:
    """How a build went."""

    skipped_tactics: int = 0
    """Kernels that TensorRT could not try."""
    workspace_shortages: int = 0
    """How often it said that kernels lacked memory."""
    largest_request_mb: int | None = None
    """The most memory that a kernel asked for in vain, in MB; None where none did."""
    least_available_mb: int | None = None
    """The least that there was when one did, in MB."""
    warnings: tuple[str, ...] = ()
    """Its other warnings, and ours; those that differ in numbers only once, with their count."""
    seconds: float = 0.0
    """How long the build took."""
    timing_cache_used: bool = False
    """Whether times that were measured in an earlier build were there to be used."""
    timing_cache_bytes: int = 0
    """The size of the timing cache that was written; 0 for none."""

    def advice(self, workspace_mb: int) -> str | None:
        """Say what would let TensorRT try the kernels that it skipped for want of memory.

        Parameters
        ----------
        workspace_mb:
            What the build was given.

        Returns
        -------
        A clause such as ``give workspace_mb: 4000``; None where memory was not short.

        """
        wanted, there = self.largest_request_mb, self.least_available_mb
        if wanted is not None and there is not None:
            if wanted > workspace_mb:
                return f"give workspace_mb: {wanted}"
            return f"close what else uses the GPU: {wanted} MB were asked for, {there} MB were free"
        if self.workspace_shortages:
            return f"give workspace_mb: {2 * workspace_mb}"
        return None


class NoteTaker:
    """Counts what TensorRT logs while it builds; called from its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._skipped = 0
        self._shortages = 0
        self._wanted: int | None = None
        self._there: int | None = None
        self._warnings: dict[str, tuple[str, int]] = {}

    def watch(self, level: int, text: str) -> None:
        """Look at a message of TensorRT's; see :data:`..tensorrt_library.logger.LogWatcher`."""
        with self._lock:
            if _SKIPPED.search(text):
                self._skipped += 1
            elif found := _REQUEST.search(text):
                self._shortages += 1
                wanted, there = int(found[1]), int(found[2])
                self._wanted = max(wanted, self._wanted or wanted)
                self._there = there if self._there is None else min(there, self._there)
            elif _SHORTAGE.search(text):
                self._shortages += 1
            elif level == logging.WARNING and not _HARMLESS.search(text):
                self._warn(text)

    def warn(self, text: str) -> None:
        """Add a warning of our own."""
        with self._lock:
            self._warn(text)

    def notes(
        self, seconds: float, timing_cache_used: bool = False, timing_cache_bytes: int = 0
    ) -> BuildNotes:
        """Return what was seen so far."""
        with self._lock:
            return BuildNotes(
                skipped_tactics=self._skipped,
                workspace_shortages=self._shortages,
                largest_request_mb=self._wanted,
                least_available_mb=self._there,
                warnings=tuple(
                    text if count == 1 else f"{text} ({count} times)"
                    for text, count in self._warnings.values()
                ),
                seconds=seconds,
                timing_cache_used=timing_cache_used,
                timing_cache_bytes=timing_cache_bytes,
            )

    def _warn(self, text: str) -> None:
        text = text.strip()
        kind = _ADDRESS_OR_NUMBER.sub("#", text)
        first, count = self._warnings.get(kind, (text, 0))
        if count or len(self._warnings) < _MOST_WARNINGS:
            self._warnings[kind] = first, count + 1
