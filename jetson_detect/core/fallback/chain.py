"""Runs the best backend that works, and keeps detecting when it fails."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from jetson_detect.core.backends import BackendError, BackendUnavailableError
from jetson_detect.core.backends.choice import BackendChoice, MissingChoice
from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.fallback.detector_thread import DetectorThread, NoAnswerError
from jetson_detect.core.fallback.policy import FallbackPolicy
from jetson_detect.core.fallback.report import Report, Severity
from jetson_detect.core.fallback.status import ChainStatus, Refusal
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.selection import Selection

_THREAD_END_S = 10.0
_SETTLE_S = 1.0
"""How long after a backend was loaded what piled up meanwhile may still come."""
_NEVER = math.inf


@dataclass(eq=False)
class _Entry:
    """What is known of one backend of the chain; guarded by the chain's lock."""

    choice: BackendChoice
    reason: str = ""
    """Why it was refused last; empty if it was not."""
    final: bool = False
    failures: int = 0
    retry_at: float = 0.0
    """On the monotonic clock."""
    opening: bool = False
    has_run: bool = False

    def runs(self, choice: BackendChoice) -> bool:
        """Whether this is the entry of a choice, whoever asked for it."""
        return (self.choice.backend, self.choice.file) == (choice.backend, choice.file)


@dataclass(eq=False)
class _Frame:
    """A picture that is not answered yet; used only by who holds the frame lock."""

    pixels: Pixels
    selection: Selection
    begun: float = 0.0
    """When it was given to its backend, on the monotonic clock."""
    given_to: _Running | None = None
    begins_call: bool = True
    """Whether it is the first of the pictures that were given to its backend at once."""
    ends_call: bool = True
    """Whether it is the last of them."""


@dataclass(eq=False)
class _Running:
    """The backend that answers frames; used only by who holds the frame lock."""

    entry: _Entry
    thread: DetectorThread
    since: float
    begun: float = 0.0
    """When it began with the pictures that are being answered, on the monotonic clock."""
    missed: int = 0
    """Deadlines missed in a row."""


class FallbackChain(Closing):
    """Detects with the first of several backends that works.

    A backend that raises, returns nonsense or does not answer in time is closed, and the next one
    answers the same frame.  What failed is tried again in the background, ever more rarely, and
    takes its place back between two frames.  Frames are answered in the order in which they are
    given; one at a time, or :attr:`depth` at a time with :meth:`submit` and :meth:`result`.
    """

    def __init__(
        self,
        choices: Sequence[BackendChoice],
        missing: Sequence[MissingChoice],
        make_detector: Callable[[BackendChoice], Detector],
        policy: FallbackPolicy = FallbackPolicy(),
        on_report: Callable[[Report], None] = lambda report: None,
    ) -> None:
        """Prepare; nothing is loaded before :meth:`start`.

        Parameters
        ----------
        choices:
            The backends, best first.
        missing:
            Backends that were wanted but have no file; told in the status.
        make_detector:
            Loads one and runs it once.  Called on the thread that will run it.
        policy:
            When to give up and to try again; may be replaced at any time.
        on_report:
            Is told of each change, on whichever thread it happens.

        """
        self.policy = policy
        self._make_detector = make_detector
        self._on_report = on_report
        self._frame_lock = threading.Lock()
        """Held while a frame is answered and while the running backend is exchanged."""
        self._frames: deque[_Frame] = deque()
        """Submitted and not answered; guarded by the frame lock."""
        self._changed = threading.Condition()
        """Guards everything below."""
        self._entries = [_Entry(choice) for choice in choices]
        self._missing = tuple(missing)
        self._running: _Running | None = None
        self._ready: _Running | None = None
        """What takes over before the next frame."""
        self._replacing = False
        """Whether who waits for a frame is about to load the next backend."""
        self._takeovers = 0
        self._settled_at = 0.0
        self._closed = False
        self._supervisor = threading.Thread(
            target=self._supervise, name="backend supervisor", daemon=True
        )

    def start(self) -> None:
        """Load the first backend that works.

        Raises
        ------
        BackendError
            If none does, with each one's reason.

        """
        with self._frame_lock:
            self._open_next(set())
        self._supervisor.start()

    @property
    def status(self) -> ChainStatus:
        """What runs, why, and what was refused."""
        with self._changed:
            return self._status()

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being loaded, and has not been for a moment."""
        return time.monotonic() >= self._settled_at

    @property
    def detector(self) -> Detector | None:
        """The detector that runs, for its descriptions; None if all backends have failed."""
        running = self._running
        return running.thread.detector if running is not None else None

    def detect(self, pixels: Pixels, selection: Selection) -> Detections:
        """Find the objects in a picture, with another backend if the running one fails.

        Raises
        ------
        PixelError
            If the picture is at fault.
        BackendError
            If no backend is left.

        """
        self.submit(pixels, selection=selection)
        return self.result()

    @property
    def max_batch(self) -> int:
        """How many frames the running backend takes at once."""
        detector = self.detector
        return detector.max_batch if detector is not None else 1

    @property
    def depth(self) -> int:
        """How often to submit ahead of the results, so that the backend is never idle.

        One more than it holds, if it holds more than one: while its thread waits for the oldest,
        nobody else could begin with the next.
        """
        detector = self.detector
        held = detector.depth if detector is not None else 1
        return held + 1 if held > 1 else 1

    def submit(self, *pictures: Pixels, selection: Selection) -> None:
        """Hand pictures over; :meth:`result` has to be called once for each, by the same thread.

        Those of one call go into one inference, as far as the backend takes several
        (:attr:`max_batch`).  Of more than it can hold, the rest waits.
        """
        with self._frame_lock:
            self._take_over()
            self._frames.extend(_Frame(pixels, selection) for pixels in pictures)
            if self._running is not None:
                self._give_all(self._running)

    def result(self) -> Detections:
        """Wait for what was found in the oldest picture without an answer; see :meth:`detect`.

        Raises
        ------
        PixelError
            If the picture is at fault.
        BackendError
            If no backend is left.
        RuntimeError
            If no picture waits for an answer.

        """
        with self._frame_lock:
            if not self._frames:
                raise RuntimeError("no picture was submitted that has no answer yet")
            tried: set[_Entry] = set()
            try:
                while True:
                    running = self._running or self._open_next(tried)
                    tried.add(running.entry)
                    self._give_all(running)
                    frame = self._frames[0]
                    if frame.begins_call:
                        # Its backend could not begin before it had answered the frame before.
                        running.begun = max(frame.begun, running.thread.answered_at)
                    try:
                        detections = running.thread.result(self._patience(running))
                    except PixelError:
                        raise
                    except Exception as error:
                        self._give_up(running, self._reason(error), replacing=True)
                    else:
                        if frame.ends_call:
                            self._count_missed(running)
                        return detections
            finally:
                self._frames.popleft()
                if self._replacing:
                    with self._changed:
                        self._replacing = False
                        self._changed.notify_all()

    def set_choices(
        self, choices: Sequence[BackendChoice], missing: Sequence[MissingChoice] = ()
    ) -> None:
        """Change the order of backends, or what is in it.

        The running backend goes on until a better one of the new list is ready; then the two are
        exchanged between two frames.  What was refused before is tried again at once.
        """
        with self._changed:
            in_use = [each.entry for each in (self._running, self._ready) if each is not None]
            in_use += [entry for entry in self._entries if entry.opening]
            self._entries = []
            for choice in choices:
                # What is not in use starts afresh, also if it failed: it may have been mended.
                entry = next((each for each in in_use if each.runs(choice)), _Entry(choice))
                entry.choice = choice
                self._entries.append(entry)
            self._missing = tuple(missing)
            self._changed.notify_all()
        self._tell()

    def close(self) -> None:
        """Close what runs and end all threads; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._supervisor.is_alive():
            self._supervisor.join(_THREAD_END_S)
        # Who waits for a library that hangs, without a deadline, never lets go of the frames.
        is_idle = self._frame_lock.acquire(timeout=_THREAD_END_S)
        try:
            with self._changed:
                left = [each for each in (self._running, self._ready) if each is not None]
                self._running = self._ready = None
        finally:
            if is_idle:
                self._frame_lock.release()
        for each in left:
            each.thread.close()
        for each in left:
            each.thread.join(_THREAD_END_S if is_idle else 0.0)

    # -- frames; under the frame lock ---------------------------------------------------------

    def _give_all(self, running: _Running) -> None:
        """Give a backend what it does not have yet: also what was lost with the one before it.

        All of it and oldest first, for in this order it answers; as many at once as it takes.
        """
        # What it has already comes before what it has not.
        new = [frame for frame in self._frames if frame.given_to is not running]
        most = running.thread.detector.max_batch
        while new:
            count = _count_alike(new[:most])
            batch, new = new[:count], new[count:]
            now = time.monotonic()
            for frame in batch:
                frame.given_to, frame.begun = running, now
                frame.begins_call, frame.ends_call = frame is batch[0], frame is batch[-1]
            running.thread.submit(*(frame.pixels for frame in batch), selection=batch[0].selection)

    def _patience(self, running: _Running) -> float | None:
        """How many seconds to wait for a frame before its backend is given up."""
        policy = self.policy
        if policy.deadline_s <= 0.0:
            return None
        return policy.deadline_s * max(1, policy.missed_deadlines - running.missed)

    def _count_missed(self, running: _Running) -> None:
        """Count answers in a row that came too late; after too many the next goes elsewhere."""
        policy = self.policy
        seconds = running.thread.answered_at - running.begun
        late = 0.0 < policy.deadline_s < seconds
        running.missed = running.missed + 1 if late else 0
        if running.missed >= policy.missed_deadlines:
            self._give_up(running, _too_late(policy))

    def _give_up(self, running: _Running, reason: str, *, replacing: bool = False) -> None:
        """Close the running backend; it is tried again later."""
        running.thread.close()
        policy = self.policy
        with self._changed:
            entry = running.entry
            if time.monotonic() - running.since >= policy.retry_maximum_s:
                entry.failures = 0
            self._running = None
            self._replacing = replacing
            self._refuse(entry, reason)
        self._tell(Severity.WARNING, f"{entry.choice} failed: {reason}")

    def _reason(self, error: Exception) -> str:
        if isinstance(error, NoAnswerError):
            return _too_late(self.policy)
        return str(error) if isinstance(error, BackendError) else repr(error)

    def _take_over(self) -> None:
        """Exchange the running backend for the one that is ready, if one is."""
        if self._ready is None:
            return
        with self._changed:
            ready, self._ready = self._ready, None
            if ready is None:
                return
            rank = self._rank(ready.entry)
            running = self._running
            if (
                self._closed
                or rank == len(self._entries)
                or (running is not None and self._rank(running.entry) <= rank)
            ):
                outdated: _Running | None = ready  # the list has changed meanwhile
            else:
                outdated, self._running = running, ready
                self._accept(ready.entry)
        if outdated is not None:
            outdated.thread.close()
        if outdated is not ready:
            before = f", {outdated.entry.choice} is closed" if outdated is not None else ""
            self._tell(Severity.INFO, f"{ready.entry.choice} takes over{before}")

    def _open_next(self, tried: set[_Entry]) -> _Running:
        """Load the best backend that is not yet tried for this frame.

        Raises
        ------
        BackendError
            If none is left.

        """
        while True:
            with self._changed:
                entry = None if self._closed else self._next_entry(tried)
                if entry is None:
                    refusals = "; ".join(map(str, self._refusals()))
                    raise BackendError(f"no backend works: {refusals or 'the chain is closed'}")
                entry.opening = True
            tried.add(entry)
            running = self._open(entry)
            if running is not None:
                with self._changed:
                    is_late = self._closed
                    first = self._takeovers == 0
                    if not is_late:
                        self._running = running
                        self._accept(entry)
                if is_late:
                    running.thread.close()
                    continue
                self._tell(Severity.WARNING, "" if first else f"{entry.choice} takes over")
                return running

    def _next_entry(self, tried: set[_Entry]) -> _Entry | None:
        """Choose what to load for a frame that nothing answers."""
        now = time.monotonic()
        usable = [entry for entry in self._entries if not (entry.final or entry.opening)]
        for entry in usable:
            if entry not in tried and entry.retry_at <= now:
                return entry
        # Rather one that worked and failed only once, at once again, than a robot without eyes.
        for entry in usable:
            if entry.has_run and entry.failures == 1:
                return entry
        return None

    # -- opening; on any thread, without a lock -----------------------------------------------

    def _open(self, entry: _Entry) -> _Running | None:
        """Load an entry that is marked as opening; None and a refusal if that fails."""
        policy = self.policy
        self._settled_at = _NEVER
        thread = DetectorThread(
            lambda: self._make_detector(entry.choice), f"inference {entry.choice}"
        )
        refused = ""
        final = False
        try:
            thread.wait_until_ready(policy.load_timeout_s)
        except NoAnswerError:
            refused = f"not ready after {policy.load_timeout_s:g} s"
        except Exception as error:
            refused = str(error) if isinstance(error, BackendError | ValueError) else repr(error)
            final = isinstance(error, BackendUnavailableError)
        news = False
        with self._changed:
            entry.opening = False
            if not any(each.opening for each in self._entries):
                self._settled_at = time.monotonic() + _SETTLE_S
            if refused:
                # At the start nothing is news: whoever starts the chain tells all of it at once.
                news = refused != entry.reason and self._supervisor.is_alive()
                self._refuse(entry, refused, final)
        if not refused:
            return _Running(entry, thread, since=time.monotonic())
        thread.close()
        expected = entry.choice.expected or not final
        self._tell(
            Severity.WARNING if expected else Severity.INFO,
            f"{entry.choice} is refused: {refused}" if news else "",
        )
        return None

    # -- supervision --------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Bring better backends (back) into service; runs on a thread of its own."""
        while (entry := self._wait_for_retry()) is not None:
            opened = self._open(entry)
            if opened is None:
                continue
            with self._changed:
                unused, self._ready = self._ready, opened
            if unused is not None:
                unused.thread.close()
            # With frames flowing, the next one may have done it by now.
            with self._frame_lock:
                self._take_over()

    def _wait_for_retry(self) -> _Entry | None:
        """Wait until a backend that is better than the running one is due; None at the end."""
        with self._changed:
            while not self._closed:
                if self._replacing:
                    self._changed.wait()
                    continue
                # What is ready counts as running: it will be, before the next frame.
                current = self._ready or self._running
                rank = self._rank(current.entry) if current is not None else len(self._entries)
                waiting = [
                    entry for entry in self._entries[:rank] if not (entry.final or entry.opening)
                ]
                now = time.monotonic()
                for entry in waiting:
                    if entry.retry_at <= now:
                        entry.opening = True
                        return entry
                next_retry = min((entry.retry_at for entry in waiting), default=_NEVER)
                self._changed.wait(None if next_retry == _NEVER else next_retry - now)
        return None

    # -- bookkeeping; under the lock ----------------------------------------------------------

    def _rank(self, entry: _Entry) -> int:
        """Return the entry's place in the list; behind all if it is no longer in it."""
        return self._entries.index(entry) if entry in self._entries else len(self._entries)

    def _refuse(self, entry: _Entry, reason: str, final: bool = False) -> None:
        entry.reason = reason
        entry.final = final
        entry.failures += 1
        entry.retry_at = time.monotonic() + self.policy.retry_delay(entry.failures)
        self._changed.notify_all()

    def _accept(self, entry: _Entry) -> None:
        entry.reason = ""
        entry.has_run = True
        self._takeovers += 1
        self._changed.notify_all()

    def _refusals(self) -> tuple[Refusal, ...]:
        """Of the backends better than the one that runs."""
        now = time.monotonic()
        rank = self._rank(self._running.entry) if self._running else len(self._entries)
        refusals = [
            Refusal(each.backend, "", each.reason, final=True, expected=each.expected)
            for each in self._missing
        ]
        for entry in self._entries[:rank]:
            if entry.reason:
                refusals.append(
                    Refusal(
                        entry.choice.backend,
                        entry.choice.file.path.name,
                        entry.reason,
                        entry.final,
                        entry.choice.expected,
                        entry.failures,
                        None if entry.final else max(0.0, entry.retry_at - now),
                    )
                )
        return tuple(refusals)

    def _status(self) -> ChainStatus:
        running, refusals = self._running, self._refusals()
        if running is None:
            why = "all backends have failed"
        elif self._rank(running.entry) == len(self._entries):
            why = "it goes on until one of the backends that are wanted now is ready"
        else:
            why = "the better ones were refused" if refusals else "it is the first choice"
        return ChainStatus(
            running.thread.detector.description if running is not None else None,
            why,
            refusals,
            max(0, self._takeovers - 1),
        )

    def _tell(self, severity: Severity = Severity.INFO, text: str = "") -> None:
        """Report the status; without a lock, since the listener may ask back."""
        self._on_report(Report(self.status, severity, text))


def _count_alike(frames: Sequence[_Frame]) -> int:
    """Count frames from the first on for which the same is wanted: one call has one selection."""
    wanted = frames[0].selection
    return sum(1 for _ in takewhile(lambda frame: frame.selection is wanted, frames))


def _too_late(policy: FallbackPolicy) -> str:
    return f"missed {policy.missed_deadlines} deadlines of {policy.deadline_s:g} s in a row"
