"""Probes: what may end the process, each tried in one of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from jetson_detect.core.backends import TensorrtRuntime
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary, open_library

from .check import CheckSkipped
from .plans import version_of


@dataclass(frozen=True)
class ProbeCase:
    """What a probe has to do with."""

    plan: Path
    """One that runs."""
    folder: Path
    """For files of its own; empty at the beginning."""
    output: Path
    """Where plans of all versions lie."""
    runtime: TensorrtRuntime

    def damaged(self, content: bytes) -> Path:
        """Write something that is called a plan."""
        path = self.folder / "damaged.plan"
        path.write_bytes(content)
        return path

    def foreign_plan(self) -> Path:
        """Return a plan of another version.

        Raises
        ------
        CheckSkipped
            If there is none.

        """
        own = version_of(self.plan)
        for path in sorted(self.output.glob("*_trt*.plan"), key=lambda p: p.stat().st_size):
            if version_of(path) != own:
                return path
        raise CheckSkipped(f"{self.output} has no plan of another version")

    def library(self) -> TensorrtLibrary:
        """Open TensorRT as the backend does."""
        return open_library(self.runtime)


class Expectation(Enum):
    """What has to become of a probe."""

    REFUSAL = "a BackendError"
    SURVIVAL = "a BackendError or an answer"
    ANSWER = "an answer"


@dataclass(frozen=True)
class Probe:
    """Something that is tried in a process of its own."""

    action: Callable[[ProbeCase], str]
    """Returns what happened, or raises."""
    expects: Expectation = Expectation.REFUSAL
