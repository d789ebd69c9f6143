"""Finds the engines that were built for a detector's model, also while it runs."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

from jetson_detect.core.backends.choice import NO_ENGINES, has_gpu
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.engines.lookup import EngineLookup
from jetson_detect.core.model import ModelError, ModelSpec, load_model
from jetson_detect.nodes.engine_announcements import EngineAnnouncements

_SETTLE_S = 1.0
"""How long after a search what piled up meanwhile may still come."""
_END_S = 10.0


class EnginePickup:
    """Looks for engines when it is told to, and when a builder announces some for the model.

    It looks on a thread of its own: TensorRT is imported and files are hashed.  Of an announcement
    only the model's name counts; what is loaded comes from the cache of this machine and was
    verified there.
    """

    def __init__(
        self,
        model: ModelSpec,
        lookup: EngineLookup,
        announcements: EngineAnnouncements,
        is_wanted: Callable[[], bool],
        on_found: Callable[[EngineFiles, EngineFiles], None],
    ) -> None:
        """Listen to announcements; nothing is looked for yet.

        Parameters
        ----------
        model:
            Whose engines.
        lookup:
            Where they are; closed with this.
        announcements:
            Of builders; those from before are not told again.
        is_wanted:
            Whether an engine could run at all now; otherwise announcements are let be.
        on_found:
            Called on the thread with what was known and what is, when that is something else.

        """
        self._model = model
        self._announcements = announcements
        self._lookup = lookup
        self._is_wanted = is_wanted
        self._on_found = on_found
        self._changed = threading.Condition()
        """Guards everything below."""
        self._files = NO_ENGINES
        self._asked = self._answered = 0
        self._closed = False
        self._settled_at = 0.0
        self._thread = threading.Thread(target=self._work, name="engine lookup", daemon=True)
        self._thread.start()
        announcements.listen(self._on_announcement)

    @property
    def files(self) -> EngineFiles:
        """What is known of."""
        with self._changed:
            return self._files

    @property
    def has_looked(self) -> bool:
        """Whether a search was ever asked for."""
        with self._changed:
            return self._asked > 0

    @property
    def is_settled(self) -> bool:
        """Whether no search holds up Python, and none has for a moment."""
        return time.monotonic() >= self._settled_at

    def look(self, wait_s: float = 0.0) -> bool:
        """Look into the cache; return whether that is done after ``wait_s`` seconds at most."""
        with self._changed:
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._answered >= asked, wait_s)

    def close(self) -> None:
        """Look no longer, and let the engines go; on any thread."""
        self._announcements.forget(self._on_announcement)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._lookup.close()

    def _on_announcement(self, models: frozenset[str]) -> None:
        if self._model.name in models and self._is_wanted():
            self.look()

    # -- on the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        while (asked := self._wait()) is not None:
            self._settled_at = float("inf")
            try:
                files = self._find()
            except Exception as error:
                files = EngineFiles(refusals=("".join(traceback.format_exception(error)),))
            self._settled_at = time.monotonic() + _SETTLE_S
            with self._changed:
                before, self._files = self._files, files
                self._answered = asked
                self._changed.notify_all()
                if self._closed:
                    return
            if files != before:
                self._on_found(before, files)

    def _wait(self) -> int | None:
        """Wait until a search is asked for; return its number, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._asked > self._answered)
            return None if self._closed else self._asked

    def _find(self) -> EngineFiles:
        if not has_gpu():
            return NO_ENGINES
        model = self._model
        try:
            now = load_model(model.source)
        except ModelError as error:
            return EngineFiles(refusals=(str(error),))
        if now != model:
            # Its labels, for one, could be others than those that are published.
            return EngineFiles(
                refusals=(
                    f"{model.source} has changed since this node was configured: configure it anew",
                )
            )
        return self._lookup.find(model)
