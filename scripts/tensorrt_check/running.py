"""Plans and ONNX files, loaded and run as the project does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends import (
    Backend,
    BackendOptions,
    OnnxruntimeOptions,
    TensorrtOptions,
    open_file,
)
from jetson_detect.core.model import Format, ModelFile, Precision

Tensors = Mapping[str, NDArray[Any]]


def open_plan(path: Path, precision: Precision = Precision.FP32, **options: Any) -> Backend:
    """Load a plan as the project does; options are those of TensorrtOptions."""
    file = ModelFile(Format.TENSORRT, path, precision)
    return open_file("tensorrt", file, BackendOptions(tensorrt=TensorrtOptions(**options)))


def open_reference(path: Path) -> Backend:
    """Load an ONNX file on the CPU."""
    providers = OnnxruntimeOptions(providers=("CPUExecutionProvider",))
    return open_file(
        "onnxruntime", ModelFile(Format.ONNX, path), BackendOptions(onnxruntime=providers)
    )


def run_copied(backend: Backend, inputs: Tensors) -> dict[str, NDArray[Any]]:
    """Infer; the answer stays as it is."""
    return {name: output.copy() for name, output in backend.run(inputs).items()}


def run_once(plan: Path) -> dict[str, NDArray[Any]]:
    """Load a plan, run it on numbers that are always the same, and close it."""
    with open_plan(plan) as backend:
        return run_copied(backend, same_numbers(backend))


def same_numbers(backend: Backend) -> Tensors:
    """Draw inputs, which are the same in every call; an open length is 1."""
    random = np.random.default_rng(8)
    return {
        info.name: random.random([size or 1 for size in info.shape]).astype(info.dtype)
        for info in backend.description.inputs
    }
