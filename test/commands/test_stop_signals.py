from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from jetson_detect.commands.stop_signals import StopSignals, ended_by_signals


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_signal_is_remembered_and_a_second_one_breaks_off(sent, status):
    with StopSignals() as stop:
        assert (stop.requested, stop.exit_status) == (False, 0)
        os.kill(os.getpid(), sent)
        assert (stop.requested, stop.exit_status) == (True, status)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), sent)
        assert stop.exit_status == status


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("one", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_that_is_being_imported_even_where_python_ignores_exceptions(one):
    program = f"""
import os, signal, sys
from jetson_detect.commands.node_command import run_node_command

class Import:
    def __del__(self):
        os.kill(os.getpid(), {int(one)})
        for _ in range(1000):
            pass

def load():
    Import()
    print("went on", flush=True)
    raise SystemExit(3)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["node"]
run_node_command("node", "a node", load)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_signals_are_answered_as_before_once_imports_are_done():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with ended_by_signals():
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
