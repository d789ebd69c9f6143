"""Builds engines one after another, on a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.engine_targets import EngineTarget
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.outcome import BuildOutcome, OutcomeKind
from jetson_detect.builder.stage_errors import BuildCancelledError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.core.closing import Closing

_CANCEL_S = 10.0
"""The longest that a build may take to end once it is cancelled."""

Fingerprint = tuple[tuple[str, int, int], ...]


class ResultKind(str, Enum):
    """What came of a build."""

    READY = "ready"
    """It is in the cache."""
    SET_ASIDE = "set aside"
    """It was built, and failed its proof."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look after it."""
        return self in (ResultKind.SET_ASIDE, ResultKind.FAILED)


@dataclass(frozen=True)
class EngineRequest:
    """A build that is asked for."""

    target: EngineTarget
    job: BuildJob
    limits: StageLimits
    fingerprint: Fingerprint
    """Of the model's files at the time of asking."""


@dataclass(frozen=True)
class EngineResult:
    """What came of a request."""

    kind: ResultKind
    text: str
    """In words, the remedy included."""
    request: EngineRequest
    notes: tuple[str, ...] = ()
    """What is worth knowing of what was built now."""

    def holds_for(self, request: EngineRequest) -> bool:
        """Whether the same would come of a request, for all that is known."""
        before = self.request
        same = (before.job, before.fingerprint) == (request.job, request.fingerprint)
        # More memory or time may help what failed, and is nothing to what is ready.
        return same and (not self.kind.is_bad or before.limits == request.limits)


@dataclass(frozen=True)
class QueueStatus:
    """What is being built, what waits, and what came of the rest."""

    building: EngineTarget | None = None
    progress: BuildProgress | None = None
    """Of what is being built; None until it tells."""
    waiting: tuple[EngineTarget, ...] = ()
    results: Mapping[EngineTarget, EngineResult] = field(default_factory=dict)
    """The last one of each target."""


class Builder(Protocol):
    """What builds: :class:`~jetson_detect.builder.engine_builder.EngineBuilder`."""

    def build(
        self, job: BuildJob, cancel: threading.Event | None = None, wait: bool = True
    ) -> BuildOutcome:
        """Build, prove and promote one engine."""


OpenBuilder = Callable[
    [StageLimits, Callable[[BuildProgress], None]], contextlib.AbstractContextManager[Builder]
]
"""Makes a builder with these limits, which tells its progress to the function."""


class QueueListener(Protocol):
    """Is told of what happens, on whichever thread it does."""

    def started(self, target: EngineTarget) -> None:
        """Take note of a build that begins."""

    def progressed(self, progress: BuildProgress) -> None:
        """Take note of how far it is."""

    def ended(self, target: EngineTarget, result: EngineResult) -> None:
        """Take note of what came of it."""

    def changed(self) -> None:
        """Take note of any other change of :attr:`EngineQueue.status`."""


@dataclass(eq=False)
class _Running:
    request: EngineRequest
    cancel: threading.Event = field(default_factory=threading.Event)
    progress: BuildProgress | None = None

    def does(self, request: EngineRequest) -> bool:
        """Whether this will bring what a request asks for."""
        own = (self.request.target, self.request.job)
        return own == (request.target, request.job) and not self.cancel.is_set()


class EngineQueue(Closing):
    """Builds what is asked for, one engine at a time, and remembers what came of it.

    What failed is not tried again by itself while it is described as it was and the model's files
    are the same: that would heat the machine for ever.
    """

    def __init__(self, open_builder: OpenBuilder, listener: QueueListener) -> None:
        """Start the thread.

        Parameters
        ----------
        open_builder:
            Called when there is something to do; what it made is closed when there is nothing left.
        listener:
            Told of everything.

        """
        self._open_builder = open_builder
        self._listener = listener
        self._changed = threading.Condition()
        """Guards everything below."""
        self._waiting: list[EngineRequest] = []
        self._running: _Running | None = None
        self._results: dict[EngineTarget, EngineResult] = {}
        self._unsettled: dict[EngineTarget, Fingerprint] = {}
        self._closed = False
        # PR_SET_PDEATHSIG: the processes of a build end with this thread, also when it is killed.
        self._thread = threading.Thread(target=self._work, name="engine builds", daemon=True)
        self._thread.start()

    @property
    def status(self) -> QueueStatus:
        """What is going on."""
        with self._changed:
            running = self._running
            return QueueStatus(
                running.request.target if running is not None else None,
                running.progress if running is not None else None,
                tuple(each.target for each in self._waiting),
                dict(self._results),
            )

    def keep(self, requests: Sequence[EngineRequest]) -> tuple[EngineTarget, ...]:
        """See that these engines are there, and no longer after others.

        Queued is what was not asked for yet, was asked for in another way, or whose model's files
        have changed since, and were the same when this was called the last time: a model that is
        being copied is left alone until it is complete.

        Returns
        -------
        What is queued now and was not before.

        """
        wanted = {request.target for request in requests}
        with self._changed:
            self._waiting = [each for each in self._waiting if each.target in wanted]
            self._results = {
                target: result for target, result in self._results.items() if target in wanted
            }
            added = self._add(request for request in requests if self._is_news(request))
        self._listener.changed()
        return added

    def ask(self, requests: Iterable[EngineRequest]) -> tuple[EngineTarget, ...]:
        """Queue these, also what failed before.

        Returns
        -------
        What is queued now and was not before.

        """
        with self._changed:
            added = self._add(requests)
        self._listener.changed()
        return added

    def cancel(self, timeout_s: float = _CANCEL_S) -> tuple[EngineTarget, ...]:
        """Drop what waits, and stop the build that runs; its processes are gone on return.

        Returns
        -------
        What was cancelled.

        Raises
        ------
        TimeoutError
            If the build has not ended after ``timeout_s`` seconds.

        """
        with self._changed:
            running = self._running
            dropped, self._waiting = self._waiting, []
            for request in dropped:
                self._results[request.target] = EngineResult(
                    ResultKind.CANCELLED, f"{request.target}: cancelled before it began", request
                )
            stopped = [] if running is None else [running.request]
            if running is not None:
                running.cancel.set()
                if not self._changed.wait_for(lambda: self._running is not running, timeout_s):
                    raise TimeoutError(
                        f"{running.request.target}: has not ended {timeout_s:g} s after it was "
                        "cancelled"
                    )
            cancelled = [
                request.target
                for request in [*stopped, *dropped]
                if self._results[request.target].kind is ResultKind.CANCELLED
            ]
        self._listener.changed()
        return tuple(cancelled)

    def forget_cancelled(self) -> None:
        """Let :meth:`keep` ask again for what was cancelled."""
        with self._changed:
            self._results = {
                target: result
                for target, result in self._results.items()
                if result.kind is not ResultKind.CANCELLED
            }

    def close(self) -> None:
        """Cancel everything and end the thread; its processes are gone when this returns."""
        with self._changed:
            self._closed = True
            self._waiting = []
            if self._running is not None:
                self._running.cancel.set()
            self._changed.notify_all()
        self._thread.join()

    # -- under the lock -----------------------------------------------------------------------

    def _add(self, requests: Iterable[EngineRequest]) -> tuple[EngineTarget, ...]:
        added = []
        for request in requests:
            if self._running is not None and self._running.does(request):
                continue
            same = [each for each in self._waiting if each.target == request.target]
            if same:
                self._waiting[self._waiting.index(same[0])] = request
                continue
            self._waiting.append(request)
            added.append(request.target)
        self._changed.notify_all()
        return tuple(added)

    def _is_news(self, request: EngineRequest) -> bool:
        """Whether a request would bring something that the last one did not."""
        result = self._results.get(request.target)
        if result is None:
            return True
        if result.holds_for(request):
            self._unsettled.pop(request.target, None)
            return False
        if result.request.fingerprint == request.fingerprint:
            return True  # only the job is another one
        before = self._unsettled.get(request.target)
        self._unsettled[request.target] = request.fingerprint
        return before == request.fingerprint

    # -- on the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        while self._wait():
            with contextlib.ExitStack() as opened:
                builder: Builder | None = None
                limits: StageLimits | None = None
                while (running := self._take()) is not None:
                    request = running.request
                    self._listener.started(request.target)
                    try:
                        if builder is None or request.limits != limits:
                            opened.close()
                            builder = opened.enter_context(
                                self._open_builder(request.limits, self._note_progress)
                            )
                            limits = request.limits
                        outcome = builder.build(request.job, cancel=running.cancel)
                    except Exception as error:
                        result = _failure(request, error)
                    else:
                        kind = ResultKind.READY if outcome.usable else ResultKind.SET_ASIDE
                        notes = () if outcome.kind is OutcomeKind.FOUND else outcome.notes
                        result = EngineResult(kind, str(outcome), request, notes)
                    self._finish(result)

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return not self._closed

    def _take(self) -> _Running | None:
        with self._changed:
            if not self._waiting:
                return None
            self._running = _Running(self._waiting.pop(0))
            return self._running

    def _note_progress(self, progress: BuildProgress) -> None:
        with self._changed:
            if self._running is None:
                return
            self._running.progress = progress
        self._listener.progressed(progress)

    def _finish(self, result: EngineResult) -> None:
        with self._changed:
            self._running = None
            self._results[result.request.target] = result
            self._changed.notify_all()
        self._listener.ended(result.request.target, result)


def _failure(request: EngineRequest, error: Exception) -> EngineResult:
    if isinstance(error, BuildCancelledError):
        return EngineResult(ResultKind.CANCELLED, f"{request.target}: cancelled", request)
    expected = isinstance(error, (RuntimeError, ValueError, OSError))
    text = str(error) if expected else "".join(traceback.format_exception(error))
    return EngineResult(ResultKind.FAILED, f"{request.target}: {text}", request)
