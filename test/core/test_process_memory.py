from __future__ import annotations

import mmap
import os
import subprocess
import sys

import numpy as np

from jetson_detect.core.process_memory import peak_resident_mb, resident_mb


def test_memory_that_is_touched_is_resident():
    before = resident_mb()
    # New pages: an array could lie in memory that was used before and is resident already.
    with mmap.mmap(-1, 100 << 20) as block:
        assert resident_mb() - before < 50
        for _ in range(100):
            block.write(bytes(1 << 20))
        assert resident_mb() - before > 90
        assert resident_mb(os.getpid()) > 90


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
