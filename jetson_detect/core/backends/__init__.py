"""Inference backends: one class each, chosen by name, heavy imports only when used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from jetson_detect.core.backends.base import (
    Backend,
    BackendDescription,
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    BatchOptions,
    OnnxruntimeOptions,
    PictureBackend,
    PicturePreprocessor,
    PipelinedBackend,
    Postprocessing,
    Preprocessing,
    Quantization,
    TensorflowOptions,
    TensorInfo,
    TensorrtOptions,
    TensorrtRuntime,
    TfliteOptions,
)
from jetson_detect.core.model import Format, ModelFile, ModelSpec, Precision

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendDescription",
    "BackendError",
    "BackendOptions",
    "BackendUnavailableError",
    "BatchOptions",
    "OnnxruntimeOptions",
    "PictureBackend",
    "PicturePreprocessor",
    "PipelinedBackend",
    "Postprocessing",
    "Preprocessing",
    "Quantization",
    "TensorInfo",
    "TensorflowOptions",
    "TensorrtOptions",
    "TensorrtRuntime",
    "TfliteOptions",
    "backend_of",
    "files_for",
    "open_backend",
    "open_by_format",
    "open_file",
]

BACKENDS: dict[str, tuple[tuple[Format, ...], str, str]] = {
    "tensorrt": ((Format.TENSORRT,), "jetson_detect.core.backends.tensorrt", "TensorrtBackend"),
    "tensorflow": (
        (Format.TF_TRT, Format.SAVED_MODEL, Format.KERAS, Format.FROZEN_GRAPH),
        "jetson_detect.core.backends.tensorflow",
        "TensorflowBackend",
    ),
    "tflite": ((Format.TFLITE,), "jetson_detect.core.backends.tflite", "TfliteBackend"),
    "onnxruntime": (
        (Format.ONNX,),
        "jetson_detect.core.backends.onnxruntime",
        "OnnxruntimeBackend",
    ),
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
    return open_file(name, files_for(model, name, precision)[0], options)


def files_for(
    model: ModelSpec, name: str, precision: Precision | None = None
) -> tuple[ModelFile, ...]:
    """Return the model's files that a backend can run, best first; of one precision if given.

    Raises
    ------
    BackendError
        If there is no such file or no such backend.

    """
    if name not in BACKENDS:
        raise BackendError(f"backend '{name}' is not known: use one of {', '.join(BACKENDS)}")
    formats = BACKENDS[name][0]
    files = sorted(model.files_for(formats, precision), key=lambda file: formats.index(file.format))
    if not files:
        wanted = " or ".join(kind.value for kind in formats)
        suffix = f" with precision {precision.value}" if precision else ""
        present = ", ".join(f"{file.format.value} {file.precision.value}" for file in model.files)
        raise BackendUnavailableError(
            f"{model.source}: files: the {name} backend needs a file of format {wanted}{suffix}; "
            f"the model has {present}"
        )
    return tuple(files)


def backend_of(file: ModelFile) -> str:
    """Return the name of the backend that runs a file's format."""
    return next(name for name, (formats, *_) in BACKENDS.items() if file.format in formats)


def open_by_format(file: ModelFile, options: BackendOptions = BackendOptions()) -> Backend:
    """Load a file with the backend that runs its format.

    Raises
    ------
    BackendError
        If it cannot be loaded.

    """
    return open_file(backend_of(file), file, options)


def open_file(name: str, file: ModelFile, options: BackendOptions = BackendOptions()) -> Backend:
    """Load a file with the backend of this name.

    Raises
    ------
    BackendError
        If it cannot be loaded.

    """
    _, module, class_name = BACKENDS[name]
    factory: Callable[[ModelFile, BackendOptions], Backend] = getattr(
        import_module(module), class_name
    )
    return factory(file, options)
