"""The processes that a command starts, watches over and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

_STOP_S = 5.0
"""How long a child may take to end after each signal."""
_LOG_TAIL = 15
"""Lines of a log that an error shows."""


class ChildError(RuntimeError):
    """A child that failed; the text ends with the end of its log."""


class Child:
    """A process, with its output in a log file."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[object],
        log: Path,
        extra: Mapping[str, str],
    ) -> None:
        """Start ``python -m module arguments…``."""
        self.name = name
        self.log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                env={**os.environ, **extra, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for the parent, which ends its children in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def failure(self, what: str) -> ChildError:
        """Make an error of what it did and the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
        tail = "".join(f"\n  {line}" for line in lines) or " nothing"
        return ChildError(f"the {self.name} {what}; its log, {self.log}, ends with:{tail}")

    def stop(self) -> None:
        """End it, the friendlier the better."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.status is not None:
                return
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class Children:
    """A command's processes; a context manager that leaves none behind."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        """Prepare; nothing is started yet.

        Args:
            logs: folder of their log files.
            environment: what they get beside this process's.
        """
        self._logs, self._environment = logs, environment
        self._children: list[Child] = []

    def start(self, name: str, module: str, *arguments: object) -> Child:
        """Start a process."""
        log = self._logs / f"{name}.log"
        child = Child(name, module, arguments, log, self._environment)
        self._children.append(child)
        return child

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for child in reversed(self._children):
                child.stop()
        except KeyboardInterrupt:  # a second Ctrl-C: no more patience
            for child in self._children:
                child.kill()
            raise
