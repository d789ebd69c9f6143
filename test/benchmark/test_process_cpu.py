"""The CPU clock of another process."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from jetson_detect.benchmark.process_cpu import ProcessCpu


def test_all_threads_count_also_those_that_have_ended() -> None:
    program = (
        "import sys, threading, time\n"
        "def spend():\n"
        "    while time.thread_time() < 0.2: pass\n"
        "threads = [threading.Thread(target=spend) for _ in range(2)]\n"
        "[each.start() for each in threads]; [each.join() for each in threads]\n"
        "print('done', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        cpu = ProcessCpu(process.pid)
        spent = cpu.seconds()
        assert 0.4 <= spent < 1.0
        time.sleep(0.05)
        assert cpu.seconds() - spent < 0.02  # it waits: time alone costs nothing
        process.communicate()


def test_a_process_that_is_not_there_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(ProcessLookupError, match=f"process {process.pid}"):
        ProcessCpu(process.pid)
