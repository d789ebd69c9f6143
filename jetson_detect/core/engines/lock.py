"""One build of a target at a time, across processes."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from jetson_detect.core.engines.cache_folder import CacheError
from jetson_detect.core.engines.entry import utc
from jetson_detect.core.engines.file_lock import FileLock, Lock

_LONGEST_COMMAND = 200
_POLL_S = 0.1
_REPORT_S = 1.0
_NOTE_S = 0.5
"""Within this time a builder has written down who it is; who has not only clears the cache."""


@dataclass(frozen=True)
class LockOwner:
    """The process that builds."""

    pid: int
    host: str
    since: str
    """UTC, as ``2026-11-21T13:05:00Z``."""
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} ({self.command})"


class BuildLockedError(CacheError):
    """A target that another process builds; the message names it and says since when."""

    def __init__(self, message: str, owner: LockOwner | None) -> None:
        super().__init__(message)
        self.owner = owner
        """None if it has not written down yet who it is."""


class LockWaitCancelledError(CacheError):
    """The wait for another build was given up because the caller wanted it."""


class BuildLock(Lock):
    """The right to build one target; goes with the process, however it ends.

    ``with`` takes it without waiting, unless :meth:`acquire` did so before, and gives it back.
    A child that inherits :meth:`fileno` keeps the right, should this process be killed, until it
    ends itself.
    """

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._lock = FileLock(path)

    def acquire(
        self,
        wait: bool = False,
        on_wait: Callable[[LockOwner | None, float], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Take the lock, unless this object has it already.

        Args:
            wait: whether to wait for another process instead of raising.
            on_wait: called with the owner and the seconds waited, at once and then every second.
            cancel: ends the wait when it is set.

        Raises
        ------
        BuildLockedError
            If another process has it and ``wait`` is false.
        LockWaitCancelledError
            If ``cancel`` was set.
        CacheError
            If the lock's file cannot be made.

        """
        cancel = cancel or threading.Event()
        began = time.monotonic()
        report = began
        while self._lock.fileno() < 0 and not self._attempt():
            owner, now = self.owner, time.monotonic()
            if not wait and (owner or now - began > _NOTE_S):
                raise BuildLockedError(
                    f"{self._target} is being built by {owner or 'another process'}; "
                    "wait for it, or cancel it there",
                    owner,
                )
            if wait and on_wait is not None and now >= report:
                report = now + _REPORT_S
                on_wait(owner, now - began)
            if cancel.wait(_POLL_S):
                raise LockWaitCancelledError(
                    f"{self._target}: the wait for {owner or 'another process'} was cancelled"
                )

    @property
    def owner(self) -> LockOwner | None:
        """Who has the lock, as far as it is written down."""
        try:
            return LockOwner(**json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def fileno(self) -> int:
        """Return the descriptor to pass on to a child (``pass_fds``)."""
        return self._lock.fileno()

    def release(self) -> None:
        """Give the right back; may be called twice."""
        self._lock.release()

    def _attempt(self) -> bool:
        command = " ".join(shlex.join(sys.orig_argv).split())
        me = LockOwner(
            os.getpid(), socket.gethostname(), utc(time.time()), command[:_LONGEST_COMMAND]
        )
        try:
            had = self._lock.acquire(wait=False)
            if had:
                self._lock.write(json.dumps(asdict(me)).encode("ascii"))
        except OSError as error:
            self._lock.release()
            raise CacheError(
                f"{self._path}: cannot be written ({error.strerror}); see that the disk has space "
                "and this user may write there"
            ) from error
        return had
