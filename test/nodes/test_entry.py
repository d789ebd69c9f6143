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


_STALE = """
import os, signal, time
from rclpy.context import Context
from rclpy.node import Node
from jetson_detect.nodes.entry import run_nodes

is_valid, until = Context.ok, 0.0
Context.ok = lambda context: time.monotonic() < until or is_valid(context)

def interrupt():
    global until
    timer.cancel()
    until = time.monotonic() + 0.3
    os.kill(os.getpid(), signal.SIGTERM)

def start(node):
    global timer
    timer = node.create_timer(0.01, interrupt)

raise SystemExit(run_nodes([lambda: Node("one")], start, ["program"]))
"""
_BEFORE_IT_SPINS = """
import os, signal, time
from rclpy.node import Node
from jetson_detect.nodes.entry import run_nodes

def start(node):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.3)

raise SystemExit(run_nodes([lambda: Node("one")], start, ["program"]))
"""


@pytest.mark.dds
@pytest.mark.parametrize("program", [_STALE, _BEFORE_IT_SPINS], ids=["in spin", "before it"])
def test_sigterm_ends_a_node_whose_executor_does_not_see_the_context_go(
    graph: Any, program: str
) -> None:
    """Rclpy wakes it first, and then shuts the context down."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=graph.environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


_HALF_MADE = """
import os, signal
from jetson_detect.nodes.entry import run_node

class Half:
    def __init__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
        self.whole = True

    def __del__(self):
        return self.whole

def make():
    Half()
    print("went on")

raise SystemExit(run_node(make, arguments=["program"]))
"""
_LOST = """
import os, signal, time
from rclpy.node import Node
from jetson_detect.nodes.entry import run_node

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

def start(node):
    Swallows()
    time.sleep(5)
    print("went on")

raise SystemExit(run_node(lambda: Node("one"), start, ["program"]))
"""
_CAUGHT = """
import os, signal, time
from rclpy.node import Node
from jetson_detect.nodes.entry import run_node

def start(node):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:
        pass
    os.kill(os.getpid(), signal.SIGINT)  # a launch and its terminal both send one
    time.sleep(1.1)
    print("again", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
    print("went on")

raise SystemExit(run_node(lambda: Node("one"), start, ["program"]))
"""


@pytest.mark.dds
@pytest.mark.parametrize(
    ("program", "output"),
    [(_HALF_MADE, ""), (_LOST, ""), (_CAUGHT, "again\n")],
    ids=["broken off in __init__", "lost in __del__", "caught by somebody"],
)
def test_a_signal_ends_a_node_wherever_it_comes(graph: Any, program: str, output: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=graph.environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, output, "")
