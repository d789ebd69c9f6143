from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from jetson_detect.core.process_memory import peak_resident_mb, resident_mb


def test_memory_that_is_touched_is_resident():
    before = resident_mb()
    block = np.ones(100 << 20, np.uint8)
    assert 90 < resident_mb() - before < 200
    assert resident_mb(os.getpid()) > 90
    del block


def test_a_process_that_is_gone_has_none():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert resident_mb(child.pid) == 0.0


def test_the_peak_is_this_programs_own_and_stays_when_memory_is_given_back():
    block = np.ones(200 << 20, np.uint8)  # as large as this process gets, not its child
    program = (
        "from jetson_detect.core.process_memory import peak_resident_mb, resident_mb;"
        "block = b'x' * (64 << 20); del block;"
        "print(resident_mb(), peak_resident_mb())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    resident, peak = map(float, printed.split())
    assert resident < 60
    assert 64 < peak < 190
    mine = peak_resident_mb()
    assert mine is not None
    assert mine >= block.nbytes / (1 << 20)
