"""Engines that no GPU made, for the tests of the cache and the processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from jetson_detect.core.engines.cache import EngineRecord
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.machine import MachineIdentity

SOURCE = "ab" * 32
MACHINE = MachineIdentity(
    tensorrt="8.6.0", gpu="Orin", compute_capability="8.7", driver="540.4.0", l4t="36.4.0"
)
RECORD = EngineRecord(latency_ms=2.5)


def identity(**changes: Any) -> EngineIdentity:
    """Make an identity; fields of the machine may be given as well."""
    machine = {name: changes.pop(name) for name in vars(MACHINE) if name in changes}
    fields = {
        "model": "demo",
        "source": SOURCE,
        "precision": "fp16",
        "shapes": {"image": [1, 160, 160, 3]},
        "options": {"workspace_mb": 1024, "tf32": True},
        "calibration": "",
        "recipe": 1,
        "machine": replace(MACHINE, **machine),
    }
    return EngineIdentity(**{**fields, **changes})


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start Python with some code that may import this module."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
