"""CPU time of a frame, stage by stage, as another process can read it."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class Stage(IntEnum):
    """What is done for a frame after it was received."""

    PREPROCESS = 0
    INFER = 1
    POSTPROCESS = 2
    PUBLISH = 3


REST = "receive"
"""The stage that no clock runs for: what a process takes beside the others."""
STAGES = (REST, *(stage.name.lower() for stage in Stage))
"""Names of the stages in the order of a frame."""


class StageClock:
    """Adds up what each stage takes, in a file that is mapped into memory.

    It reads the clock of the process, not of the thread: OpenCV and inference libraries have
    threads of their own.  So a stage is told apart from others only while one frame is in flight.
    Used for one frame at a time; the stages of a frame may run on several threads.
    """

    _COUNTERS = struct.Struct(f"={len(Stage)}q")

    def __init__(self, file: Path) -> None:
        """Map a file, which is made and filled with zeros unless it is there."""
        if not file.exists():
            file.write_bytes(bytes(self._COUNTERS.size))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), self._COUNTERS.size)
        self._counters = memoryview(self._memory).cast("q")

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Count the CPU time of a ``with`` block, also of one that raises, for a stage."""
        started_ns = time.process_time_ns()
        try:
            yield
        finally:
            self._counters[stage] += time.process_time_ns() - started_ns

    def seconds(self) -> Mapping[str, float]:
        """Return what each stage has taken so far, in seconds of CPU time, in whichever process."""
        return {stage.name.lower(): self._counters[stage] / 1e9 for stage in Stage}

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return what each stage has taken since :meth:`seconds` gave ``before``."""
        return {name: seconds - before[name] for name, seconds in self.seconds().items()}
