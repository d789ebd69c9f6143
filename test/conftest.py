"""Real processes over real DDS: a domain of their own, bounded waits, nothing left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from jetson_detect.transport import localhost_environment, shared_memory_environment

# Read by the middleware when the first context is made, in this process and in its children.
os.environ.update(localhost_environment())
os.environ.update(shared_memory_environment())

# Started in the background by a shell, this process ignores SIGINT, and its children would too.
signal.signal(signal.SIGINT, signal.default_int_handler)

_DOMAINS = range(1, 100)  # above 101 the ports of a domain reach into Linux's ephemeral range
SHARED_MEMORY = Path("/dev/shm")
_ANSWER_S = 4.0
_SEGMENTS = "fast*_[0-9a-p]*"  # fastdds_0123…, fastrtps_port7411


class RosProcess:
    """A child process whose output is kept and can be waited for."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.popen = subprocess.Popen(
            arguments,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def segments(self) -> set[Path]:
        """Return the shared-memory segments that the process has mapped."""
        maps = Path(f"/proc/{self.popen.pid}/maps").read_text()
        return {Path(name) for name in re.findall(r"/dev/shm/fast\S+", maps)}

    @property
    def output(self) -> str:
        with self._changed:
            return "\n".join(self.lines)

    def wait_for_output(self, text: str, timeout: float = 30.0) -> None:
        with self._changed:
            found = self._changed.wait_for(
                lambda: any(text in line for line in self.lines) or not self._reader.is_alive(),
                timeout,
            )
            if not (found and any(text in line for line in self.lines)):
                written = "\n".join(self.lines)
                raise AssertionError(f"waited {timeout} s for {text!r} in vain; output:\n{written}")

    def wait(self, timeout: float = 30.0) -> int:
        status = self.popen.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self, with_signal: signal.Signals = signal.SIGINT, timeout: float = 20.0) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(with_signal)
        return self.wait(timeout)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.wait()


class RosGraph:
    """One ROS domain: nodes of this process, and child processes beside them."""

    def __init__(self, domain: int, folder: Path) -> None:
        self.domain = domain
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.processes: list[RosProcess] = []
        self._asking: Node | None = None
        self.environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_LOG_DIR": str(folder / "log"),
            # Not the user's: what is built there would change what is tested here.
            "JETSON_DETECT_CACHE": str(folder / "cache"),
            "PYTHONUNBUFFERED": "1",
        }

    def node(self, name: str = "test_node") -> Node:
        """Make a node of this process."""
        node = Node(name, context=self.context, start_parameter_services=False)
        self.executor.add_node(node)
        return node

    def start(self, module: str, *arguments: object) -> RosProcess:
        """Start ``python -m module arguments…`` in this domain."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = RosProcess(command, self.environment)
        self.processes.append(process)
        return process

    def spin_until(
        self, condition: Callable[[], object], timeout: float = 30.0, what: str = "the condition"
    ) -> None:
        """Serve callbacks until the condition holds; fail after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                outputs = "\n---\n".join(process.output for process in self.processes)
                raise AssertionError(f"waited {timeout} s for {what} in vain; output:\n{outputs}")
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        """Ask a service, once it is there, and return its answer.

        Asked again when nothing comes: while the two sides still discover each other, an answer
        can be lost.
        """
        if self._asking is None:
            self._asking = self.node("asking")
        client = self._asking.create_client(service_type, name)
        self.spin_until(client.service_is_ready, what=f"service {name}")
        asked: list[tuple[float, Any]] = []

        def answer() -> Any:
            if not asked or time.monotonic() - asked[-1][0] > _ANSWER_S:
                asked.append((time.monotonic(), client.call_async(request)))
            return next((future for _, future in asked if future.done()), None)

        self.spin_until(answer, what=f"the answer of {name}")
        result = answer().result()
        self._asking.destroy_client(client)
        return result

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        """Ask a node to set a parameter, and return its result."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call(SetParameters, f"{node}/set_parameters", request).results[0]

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
        for node in self.executor.get_nodes():
            node.destroy_node()
        self.executor.shutdown()
        rclpy.try_shutdown(context=self.context)


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """Claim a ROS domain that no other test run on this machine uses."""
    folder = Path("/tmp/jetson_detect_test_domains")
    folder.mkdir(exist_ok=True)
    for domain in _DOMAINS:
        with (folder / str(domain)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError(f"all domains of {folder} are in use")


def dead_segments() -> set[str]:
    """Names of Fast DDS segments in shared memory that no process has mapped any more."""
    # Old ones, listed before the processes are asked: one that another test run has just made,
    # and not mapped yet, is not dead.
    newest = time.time() - 1.0
    names = set()
    for path in SHARED_MEMORY.glob(_SEGMENTS):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ctime < newest:
                names.add(path.name)
    mapped = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile, or is not ours
            mapped.update(re.findall(r"/dev/shm/(\S+)", maps.read_text()))
    return {name for name in names if name.removesuffix("_el") not in mapped}


def remove_dead_segments() -> None:
    """Remove what killed processes left; each segment has a lock file and a semaphore beside it."""
    for name in dead_segments():
        if not name.endswith("_el"):
            for leftover in (name, f"{name}_el", f"sem.{name}_mutex"):
                (SHARED_MEMORY / leftover).unlink(missing_ok=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_in_shared_memory() -> Iterator[None]:
    """Sweep up after killed processes, also after those of a run that was killed itself."""
    yield
    remove_dead_segments()


@contextlib.contextmanager
def ros_graph(folder: Path) -> Iterator[RosGraph]:
    """Open a ROS domain; its processes and nodes end with it."""
    with claimed_domain() as domain:
        graph = RosGraph(domain, folder)
        try:
            yield graph
        finally:
            graph.close()
            remove_dead_segments()


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[RosGraph]:
    """A ROS domain of the test's own."""
    with ros_graph(tmp_path) as graph:
        yield graph


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RosGraph]:
    """A ROS domain for all tests of a module that leave it as they found it."""
    with ros_graph(tmp_path_factory.mktemp("graph")) as graph:
        yield graph
