"""The models of a detector: the one that runs, those loaded beside it, those that are finishing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from jetson_detect.core.backends import BackendError
from jetson_detect.core.closing import Closing
from jetson_detect.core.fallback import FallbackChain
from jetson_detect.nodes.running_model import RunningModel

_SETTLE_S = 1.0
"""How long after a model was loaded what piled up meanwhile may still come."""


class ModelExchange(Closing):
    """Loads models by name beside the one that runs, and keeps the old one until it has finished.

    Loading may happen on any thread.  A model is loaded (:meth:`prepare`), looked at by whoever
    decides (:meth:`demand`), and then exchanged for the running one or let go
    (:meth:`exchange`, :meth:`discard`).
    """

    def __init__(self, load: Callable[[str], RunningModel]) -> None:
        """Take a note of how to load; nothing is loaded yet.

        Parameters
        ----------
        load:
            Loads a model of this name; raises ``ValueError`` or ``BackendError``.

        """
        self._load = load
        self._loading = threading.Lock()
        """One at a time: each takes memory that the running one needs too."""
        self._settled_at = 0.0
        self._lock = threading.Lock()
        """Guards everything below."""
        self._running: RunningModel | None = None
        self._retiring: list[RunningModel] = []
        """Exchanged for another, and may still have frames to answer."""
        self._ready: dict[str, RunningModel] = {}
        self._refused: dict[str, str] = {}
        self._closed = False

    @property
    def running(self) -> RunningModel | None:
        """The model that answers; None before the first one."""
        return self._running

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being loaded, and has not been for a moment."""
        running = self._running
        return time.monotonic() >= self._settled_at and running is not None and running.is_settled

    def start(self, name: str) -> RunningModel:
        """Load the first model.

        Raises
        ------
        ValueError, BackendError
            If it does not load.

        """
        running = self._load(name)
        with self._lock:
            self._running = running
        return running

    # -- loading ------------------------------------------------------------------------------

    def prepare(self, name: str) -> None:
        """Load a model, unless it is loaded; takes seconds, and raises nothing."""
        with self._loading:
            running = self._running
            with self._lock:
                if running is None or name in (running.name, *self._ready):
                    return
                self._refused.pop(name, None)
            self._settled_at = math.inf
            try:
                loaded = self._load(name)
            except Exception as error:
                known = isinstance(error, ValueError | BackendError)
                with self._lock:
                    self._refused[name] = (
                        f"model '{name}' is not taken: {error if known else repr(error)}"
                    )
                return
            finally:
                self._settled_at = time.monotonic() + _SETTLE_S
            with self._lock:
                if not self._closed:
                    self._ready[name] = loaded
                    return
        loaded.close()

    def demand(self, name: str) -> RunningModel:
        """Return a model that is loaded; loads it now if nobody prepared that.

        Raises
        ------
        ValueError
            If it cannot be, with the reason.  The next demand tries again.

        """
        with self._lock:
            is_known = name in self._ready or name in self._refused
        if not is_known:
            self.prepare(name)
        with self._lock:
            if name in self._ready:
                return self._ready[name]
            raise ValueError(self._refused.pop(name, f"model '{name}': the node is stopping"))

    def discard(self, name: str) -> None:
        """Let go of what was prepared for a name and not exchanged."""
        with self._lock:
            self._refused.pop(name, None)
            loaded = self._ready.pop(name, None)
        if loaded is not None:
            loaded.close()

    # -- exchanging ---------------------------------------------------------------------------

    def exchange(self, name: str) -> RunningModel:
        """Let a model run that was demanded; the one before goes on until it is retired.

        Raises
        ------
        ValueError
            If it is not loaded.

        """
        with self._lock:
            if name not in self._ready:
                raise ValueError(f"model '{name}' is not loaded")
            if self._running is not None:
                self._retiring.append(self._running)
            self._running = self._ready.pop(name)
            return self._running

    def model_of(self, chain: FallbackChain) -> RunningModel | None:
        """Return the model whose backends these are, if it runs or is finishing."""
        with self._lock:
            models = (self._running, *self._retiring)
        return next((each for each in models if each is not None and each.chain is chain), None)

    def retire(self, until: RunningModel | None) -> None:
        """Close the models that have answered their last frame; takes a moment.

        Parameters
        ----------
        until:
            The one that answers now, which may be finishing already; None if none does.

        """
        with self._lock:
            retired = [each for each in self._retiring if each is not until]
            self._retiring = [each for each in self._retiring if each is until]
        for each in retired:
            each.close()

    def close(self) -> None:
        """Close all of them; what is being loaded is closed as soon as it is there."""
        with self._lock:
            self._closed = True
            left = [*self._ready.values(), *self._retiring]
            if self._running is not None:
                left.append(self._running)
            self._ready, self._retiring, self._running = {}, [], None
        for each in left:
            each.close()
