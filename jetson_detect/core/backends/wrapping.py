"""Backends that stand around another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from jetson_detect.core.backends.base import Backend, BackendDescription
from jetson_detect.core.closing import Closing

B = TypeVar("B", bound=Backend)


class WrappedBackend(Closing, Generic[B]):
    """Passes everything on; what is to be otherwise a subclass overrides."""

    def __init__(self, backend: B) -> None:
        """Take a backend over: closing this closes it."""
        self._backend = backend

    @property
    def description(self) -> BackendDescription:
        """As :attr:`Backend.description`."""
        return self._backend.description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """As :attr:`Backend.input_arrays`."""
        return self._backend.input_arrays

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`Backend.run`."""
        return self._backend.run(inputs)

    def close(self) -> None:
        """Close the backend; may be called twice."""
        self._backend.close()
