"""The engines of the cache that a running detector may load for its model."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from jetson_detect.core.backends.base import BackendUnavailableError, TensorrtRuntime
from jetson_detect.core.closing import Closing
from jetson_detect.core.engines.cache import CacheError, EngineCache
from jetson_detect.core.engines.content_hash import sources_by_hash
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.engines.machine import MachineIdentity, read_machine
from jetson_detect.core.model import ModelSpec


class EngineLookup(Closing):
    """Finds engines, and keeps what it found in the cache until it is closed.

    Used by one thread at a time.
    """

    def __init__(
        self,
        cache: EngineCache,
        device: int = 0,
        runtime: TensorrtRuntime = TensorrtRuntime.FULL,
    ) -> None:
        """Prepare; nothing is asked yet.

        Parameters
        ----------
        cache:
            Where engines are.
        device:
            The GPU's index.
        runtime:
            What is to run them.

        """
        self._cache, self._device, self._runtime = cache, device, runtime
        self._machine: MachineIdentity | None = None
        self._holds = contextlib.ExitStack()

    def find(self, model: ModelSpec) -> EngineFiles:
        """Find the engines that were built from a model's files as they are now, for this machine.

        The first time TensorRT is imported, and large files take a moment to be hashed.
        """
        try:
            if self._machine is None:
                self._machine = read_machine(self._device, self._runtime)
            sources = sources_by_hash(model)
            usable = self._cache.usable(model.name, sources, self._machine)
        except (BackendUnavailableError, CacheError) as error:
            return EngineFiles(refusals=(str(error),))
        files, refusals = [], list(usable.refusals)
        # The new holds first, so that nothing is let go for a moment.
        with contextlib.ExitStack() as holds:
            for entry in usable.entries:
                try:
                    holds.enter_context(entry.hold())
                except CacheError as error:
                    refusals.append(str(error))
                else:
                    # With the names that the source has in model.yaml now.
                    tensors = sources[entry.identity.source].tensors
                    files.append(replace(entry.model_file, tensors=tensors))
            self._holds.close()
            self._holds = holds.pop_all()
        return EngineFiles(tuple(files), tuple(refusals), usable.absence)

    def close(self) -> None:
        """Let go of what was found; may be called twice."""
        self._holds.close()
