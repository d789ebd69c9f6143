"""What every inference backend looks like from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import ModelFile


class BackendError(RuntimeError):
    """A backend that cannot load a file or run it; the message names file and remedy."""


@dataclass(frozen=True)
class Quantization:
    """``real = (stored - zero_point) * scale``, the same for a whole tensor."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class TensorInfo:
    """One input or output of a network."""

    name: str
    shape: tuple[int | None, ...]
    """None for a dimension that is not fixed."""
    dtype: np.dtype[Any]
    quantization: Quantization | None = None
    """For an input: what the backend wants to be given.  Outputs come back dequantised."""


@dataclass(frozen=True)
class BackendOptions:
    """How a backend may use the machine."""

    threads: int = 0
    """CPU threads of an inference on the CPU; 0 leaves the choice to the backend."""


@dataclass(frozen=True, eq=False)
class BackendDescription:
    """What runs: for the log, the status and whoever feeds tensors."""

    backend: str
    """The name that the ``backends`` parameter knows."""
    runtime: str
    """The library and its version."""
    device: str
    file: ModelFile
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    details: Mapping[str, str] = field(default_factory=dict)
    """Anything else worth a line: delegates, threads, profiles."""

    def __str__(self) -> str:
        details = "".join(f", {key} {value}" for key, value in self.details.items())
        return (
            f"{self.backend} ({self.runtime}) on {self.device}: "
            f"{self.file.path} [{self.file.precision.value}]{details}"
        )


class Backend(Protocol):
    """A loaded network.  Made ready by its constructor, usable until :meth:`close`.

    An instance is used by one thread at a time.
    """

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer.

        Parameters
        ----------
        inputs:
            A tensor for each input, by name, in the dtype of the description.

        Returns
        -------
        A tensor for each output, by name; quantised outputs as float32.  Valid until the next
        call of :meth:`run` or :meth:`close`.

        Raises
        ------
        BackendError
            If inference fails or the backend was closed.

        """

    def close(self) -> None:
        """Give everything back; may be called twice."""

    def __enter__(self) -> Backend: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
