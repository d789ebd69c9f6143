"""How the process of nodes ends."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

_TWICE = """
import os, signal, threading
from rclpy.node import Node
from jetson_detect.nodes.entry import run_nodes

def interrupt(node):
    timer = node.create_timer(0.01, lambda: (timer.cancel(), os.kill(os.getpid(), SIGNAL)))

for SIGNAL in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM)
    assert run_nodes([lambda: Node("one")], interrupt, ["program"]) == 0
    assert signal.getsignal(signal.SIGTERM) == before
print("ended four times")
"""


@pytest.mark.dds
def test_nodes_of_a_process_can_be_run_again_and_each_signal_ends_them(graph: Any) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _TWICE],
        env=graph.environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended four times\n", "")
