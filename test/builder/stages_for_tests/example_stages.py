"""Stages that do what a test wants; imported by the child process too."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def double(number: int, progress: Any) -> int:
    progress("doubling", 0.5)
    print("some library's chatter")
    return 2 * number


def fail(text: str, progress: Any) -> None:
    raise RuntimeError(text)


def have_a_bug(nothing: None, progress: Any) -> None:
    {}["missing"]


def crash(nothing: None, progress: Any) -> None:
    ctypes.string_at(0)


def kill_itself(nothing: None, progress: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def take_memory(megabytes: int, progress: Any) -> None:
    memory = bytearray(megabytes << 20)
    memory[:: 1 << 12] = b"1" * len(memory[:: 1 << 12])
    time.sleep(30)


def sleep(started: Path, progress: Any) -> None:
    started.write_text(str(os.getpid()))
    time.sleep(60)


def tell_of_itself(nothing: None, progress: Any) -> dict[str, Any]:
    return {
        "niceness": os.nice(0),
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        "pid": os.getpid(),
        "tensorflow": "tensorflow" in sys.modules,
    }
