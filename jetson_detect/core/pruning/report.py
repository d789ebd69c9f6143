"""What pruning has changed: zeros, sizes and accuracy, before and after."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jetson_detect.core.pruning.options import PruningOptions


@dataclass(frozen=True)
class KernelReport:
    """One kernel."""

    layer: str
    kernel: str
    """Attribute of the layer."""
    shape: tuple[int, ...]
    zeros_before: int
    zeros: int
    kept: str
    """Why it was not pruned; empty if it was."""

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """The share of them that are zero."""
        return self.zeros / self.parameters


@dataclass(frozen=True)
class ModelSize:
    """What a network takes, in bytes."""

    parameters: int
    """Numbers in all its weights, those of biases and of batch normalisation too."""
    zeros: int
    """How many of them are zero."""
    weights: int
    """Their bytes in memory."""
    weights_gzip: int
    """Those compressed by gzip."""
    file: int
    """Its .keras file."""
    file_gzip: int
    """That compressed by gzip."""

    @classmethod
    def of(cls, model: Any, file: Path) -> ModelSize:
        """Measure a model and the file that it was saved as."""
        arrays = [np.asarray(variable) for variable in model.weights]
        raw = b"".join(array.tobytes() for array in arrays)
        content = file.read_bytes()
        return cls(
            parameters=sum(array.size for array in arrays),
            zeros=sum(map(count_zeros, arrays)),
            weights=len(raw),
            weights_gzip=len(gzip.compress(raw)),
            file=len(content),
            file_gzip=len(gzip.compress(content)),
        )


@dataclass(frozen=True)
class PruningReport:
    """What pruning has changed."""

    source: Path
    output: Path
    options: PruningOptions
    kernels: tuple[KernelReport, ...]
    size_before: ModelSize
    """Of the source without the state of an optimizer."""
    size: ModelSize
    accuracy_before: Mapping[str, float]
    accuracy: Mapping[str, float]
    """Of the model as it was written."""
    batches: int
    """Trained on."""
    seconds: float
    """All in all, with both evaluations."""

    @property
    def pruned_parameters(self) -> int:
        """Weights in the kernels that were pruned."""
        return sum(kernel.parameters for kernel in self._pruned)

    @property
    def pruned_zeros(self) -> int:
        """How many of them are zero."""
        return sum(kernel.zeros for kernel in self._pruned)

    @property
    def _pruned(self) -> Iterable[KernelReport]:
        return (kernel for kernel in self.kernels if not kernel.kept)

    def to_json(self) -> dict[str, Any]:
        """Return what ``json.dumps`` takes; a number that is not finite becomes None."""
        return {
            **asdict(self),
            "source": str(self.source),
            "output": str(self.output),
            "kernels": [
                {**asdict(each), "parameters": each.parameters, "sparsity": each.sparsity}
                for each in self.kernels
            ],
            "pruned_parameters": self.pruned_parameters,
            "pruned_zeros": self.pruned_zeros,
            "accuracy_before": _finite(self.accuracy_before),
            "accuracy": _finite(self.accuracy),
        }


def count_zeros(weights: Any) -> int:
    """Count the zeros in an array or a Keras variable."""
    array = np.asarray(weights)
    return array.size - int(np.count_nonzero(array))


def _finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
