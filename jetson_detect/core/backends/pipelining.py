"""Backends that cannot have two inferences in flight, used like those that can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from jetson_detect.core.backends.base import Backend, BackendError, PipelinedBackend
from jetson_detect.core.backends.wrapping import WrappedBackend


def pipelined(backend: Backend) -> PipelinedBackend:
    """Return the backend itself where it is pipelined, else as one of depth 1."""
    return backend if isinstance(backend, PipelinedBackend) else OneAtATime(backend)


class OneAtATime(WrappedBackend[Backend]):
    """Infers when it is asked for the result."""

    def __init__(self, backend: Backend) -> None:
        """Take a backend over: closing this closes it."""
        super().__init__(backend)
        self._inputs: Mapping[str, NDArray[Any]] | None = None

    @property
    def depth(self) -> int:
        """Always 1."""
        return 1

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`Backend.run`."""
        self._require_idle("before run()")
        return super().run(inputs)

    def start(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Take note of inputs, which must stay as they are until :meth:`finish`."""
        self._require_idle("before the next start()")
        self._inputs = inputs

    def finish(self) -> Mapping[str, NDArray[Any]]:
        """Infer on what :meth:`start` was given; see :meth:`PipelinedBackend.finish`."""
        inputs, self._inputs = self._inputs, None
        if inputs is None:
            raise BackendError(
                f"{self.description.file.path}: no inference was started: call start() before "
                "finish()"
            )
        return self._backend.run(inputs)

    def close(self) -> None:
        """Close the backend; may be called twice."""
        self._inputs = None
        super().close()

    def _require_idle(self, when: str) -> None:
        if self._inputs is not None:
            raise BackendError(
                f"{self.description.file.path}: an inference was started: finish() it {when}"
            )
