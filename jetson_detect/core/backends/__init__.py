"""Inference backends: one class each, chosen by name, heavy imports only when used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from jetson_detect.core.backends.base import (
    Backend,
    BackendDescription,
    BackendError,
    BackendOptions,
    Quantization,
    TensorInfo,
)
from jetson_detect.core.model import Format, ModelFile, ModelSpec, Precision

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendDescription",
    "BackendError",
    "BackendOptions",
    "Quantization",
    "TensorInfo",
    "open_backend",
]

BACKENDS: dict[str, tuple[tuple[Format, ...], str, str]] = {
    "tflite": ((Format.TFLITE,), "jetson_detect.core.backends.tflite", "TfliteBackend"),
}
"""By name, best first: the formats that it runs, and the module and class that do it."""


def open_backend(
    model: ModelSpec,
    name: str,
    options: BackendOptions = BackendOptions(),
    precision: Precision | None = None,
) -> Backend:
    """Load the first of a model's files that a backend can run.

    Parameters
    ----------
    model:
        The model.
    name:
        A key of :data:`BACKENDS`.
    options:
        How the backend may use the machine.
    precision:
        Take only a file of this precision; None takes the first of any.

    Raises
    ------
    BackendError
        If there is no such file, or it cannot be loaded.

    """
    if name not in BACKENDS:
        raise BackendError(f"backend '{name}' is not known: use one of {', '.join(BACKENDS)}")
    formats, module, class_name = BACKENDS[name]
    files = model.files_for(formats, precision)
    if not files:
        wanted = " or ".join(kind.value for kind in formats)
        suffix = f" with precision {precision.value}" if precision else ""
        present = ", ".join(f"{file.format.value} {file.precision.value}" for file in model.files)
        raise BackendError(
            f"{model.source}: files: the {name} backend needs a file of format {wanted}{suffix}; "
            f"the model has {present}"
        )
    factory: Callable[[ModelFile, BackendOptions], Backend] = getattr(
        import_module(module), class_name
    )
    return factory(files[0], options)
