"""A machine with a simulated GPU for the builder's child processes, and what they build."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

FAKES = Path(__file__).parents[1] / "fakes"
sys.path.insert(0, str(FAKES / "fixtures"))


@pytest.fixture
def machine(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The simulated GPU, for this process and for its children."""
    monkeypatch.setenv("PYTHONPATH", str(FAKES), prepend=os.pathsep)
    # Its children are many and short: none of them waits for threads that it does not use.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    gpu.use("8.6.0")
    return gpu
