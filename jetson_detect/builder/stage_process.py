"""One stage of a build, in a process that may be killed without harm."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jetson_detect.builder.stage_errors import BuildCancelledError, StageError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.builder.stage_remedies import GENERAL_REMEDIES, StageRemedies
from jetson_detect.core.process_memory import resident_mb

if TYPE_CHECKING:
    from jetson_detect.core.engines.build_progress import ProgressCallback

R = TypeVar("R")


@dataclass(frozen=True)
class StageResult(Generic[R]):
    """What a stage returned, and what it took."""

    value: R
    seconds: float
    peak_mb: float
    """The most resident memory that it had, in MB."""


_WATCH_S = 0.1
"""Between two looks at a child: at its memory, its deadline and whether it is to be cancelled."""
_LOG_TAIL = 8
"""Lines of the log that an error shows."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the file system says when a file finds no room, or may not grow any further."""

_PROGRESS, _RESULT, _ERROR = "progress", "result", "error"


def run_stage(
    name: str,
    stage: Callable[[Any, ProgressCallback], R],
    task: Any,
    log: Path,
    *,
    limits: StageLimits,
    remedies: StageRemedies = GENERAL_REMEDIES,
    on_progress: ProgressCallback = lambda phase, fraction: None,
    on_wait: Callable[[], None] = lambda: None,
    cancel: threading.Event | None = None,
) -> StageResult[R]:
    """Run ``stage(task, progress)`` in a process of its own and wait for it.

    The process dies with the thread that called this, is the first that the kernel ends when memory
    runs out, and runs at a low priority.  What it prints goes to ``log``.

    Parameters
    ----------
    name:
        For messages: ``build``, ``proof``.
    stage:
        A function at the top of a module; what it returns and its ``task`` can be pickled.
    task:
        Handed to it.
    log:
        File for its output; overwritten.
    limits:
        What it may take.
    remedies:
        What an error advises if it takes more.
    on_progress:
        Called on this thread with what it reports.
    on_wait:
        Called on this thread ten times a second while nothing is reported.
    cancel:
        When set, the process is killed.

    Raises
    ------
    StageError
        If it raises (with its message), exceeds a limit, or is killed.
    BuildCancelledError
        If it was cancelled.

    """
    ours, theirs = Pipe(duplex=True)
    with contextlib.closing(ours):
        with log.open("wb") as output, contextlib.closing(theirs):
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in the terminal is for the parent, which ends its children in order.
                start_new_session=True,
            )
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died at once
                ours.send((stage.__module__, stage.__qualname__, task, limits.niceness))
            watch = _Watch(name, process, ours, log, limits, remedies, on_progress, on_wait, cancel)
            return watch.result()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


class _Watch:
    """Waits for a stage's answer, and ends it when it must be ended."""

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        connection: Connection[Any, Any],
        log: Path,
        limits: StageLimits,
        remedies: StageRemedies,
        on_progress: ProgressCallback,
        on_wait: Callable[[], None],
        cancel: threading.Event | None,
    ) -> None:
        self._name, self._process, self._connection = name, process, connection
        self._log, self._limits, self._remedies = log, limits, remedies
        self._on_progress, self._on_wait, self._cancel = on_progress, on_wait, cancel
        self._started = time.monotonic()
        self._peak_mb = 0.0

    def result(self) -> StageResult[Any]:
        while True:
            if self._connection.poll(_WATCH_S):
                try:
                    kind, *content = self._connection.recv()
                except (EOFError, OSError):
                    raise self._died() from None
                if kind == _RESULT:
                    return StageResult(content[0], time.monotonic() - self._started, content[1])
                if kind == _ERROR:
                    raise StageError(f"{self._name}: {content[0]}")
                self._on_progress(*content)
            else:
                self._on_wait()
            self._check()

    def _check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise BuildCancelledError(f"{self._name}: cancelled")
        seconds = time.monotonic() - self._started
        if seconds > self._limits.deadline_s:
            raise StageError(
                f"{self._name}: ended after {seconds:.1f} s, its deadline is "
                f"{self._limits.deadline_s:g} s: {self._remedies.deadline}{self._tail()}"
            )
        self._peak_mb = max(self._peak_mb, resident_mb(self._process.pid))
        if 0 < self._limits.memory_mb < self._peak_mb:
            raise StageError(
                f"{self._name}: ended because it took {self._peak_mb:.0f} MB of memory, its limit "
                f"is {self._limits.memory_mb} MB: allow more (memory_mb), "
                f"{self._remedies.memory}{self._tail()}"
            )

    def _died(self) -> StageError:
        """Say how the process ended that has closed its end without an answer."""
        try:
            status = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return StageError(f"{self._name}: its process no longer answers{self._tail()}")
        if status == -signal.SIGKILL:
            how = (
                f"was killed (SIGKILL) when it took {self._peak_mb:.0f} MB; if nobody else did it "
                f"the kernel ran out of memory (see dmesg): {self._remedies.memory}"
            )
        elif status < 0:
            how = f"crashed ({signal.Signals(-status).name}); the library that it ran is at fault"
        else:
            how = f"ended with status {status}"
        return StageError(f"{self._name}: its process {how}{self._tail()}")

    def _tail(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
        except OSError:
            lines = []
        return "".join(f"\n    {line}" for line in lines)


def _main() -> None:
    """Run in the child: take the task from the pipe, answer through it."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    connection: Connection[Any, Any] = Connection(descriptor)
    module, name, task, niceness = connection.recv()
    os.nice(niceness)

    sending, told = threading.Lock(), ("", 0.0)

    def progress(phase: str, fraction: float | None = None) -> None:
        nonlocal told
        # TensorRT reports every step, from several threads, thousands of times.
        with sending:
            now = time.monotonic()
            if phase != told[0] or now - told[1] >= _WATCH_S:
                told = phase, now
                connection.send((_PROGRESS, phase, fraction))

    answer: tuple[Any, ...]
    try:
        result = getattr(importlib.import_module(module), name)(task, progress)
    except MemoryError as error:
        answer = (_ERROR, f"not enough memory ({error}): close other programs")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            answer = (_ERROR, f"the disk is full ({error}): free some space there")
        elif isinstance(error, (RuntimeError, ValueError, OSError)):
            answer = (_ERROR, str(error) or type(error).__name__)
        else:
            raise  # a fault of ours: its traceback is in the log
    else:
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = (_RESULT, result, peak_kb / 1024)
    # Before the answer: who has it may end this process at once.
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(answer)
    connection.close()
    # Without the destructors of libraries: some crash in them, when all the work is done.
    os._exit(0)


def _die_with(parent: int) -> None:
    """See that this process ends with its parent, and before others when memory runs out."""
    import ctypes

    pr_set_pdeathsig = 1
    with contextlib.suppress(OSError, AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it was gone before we said so
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    _main()
