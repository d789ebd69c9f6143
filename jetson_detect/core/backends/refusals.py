"""The refusals that backends have in common, worded once."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jetson_detect.core.backends.base import (
    BackendDescription,
    BackendError,
    BackendUnavailableError,
)
from jetson_detect.core.model import ModelFile

_LONGEST_REASON = 600
"""Characters; TensorFlow puts a whole stack before what it has to say, others one after it."""


def reason(error: BaseException) -> str:
    """Return what a library's exception says, on one line and not longer than one reads."""
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) <= _LONGEST_REASON:
        return text
    half = _LONGEST_REASON // 2
    return f"{text[:half]} … {text[-half:]}"


def import_library(module: str, remedy: str) -> Any:
    """Import what a backend needs.

    Raises
    ------
    BackendUnavailableError
        If that fails, whatever the reason: a library that is there and does not fit this NumPy or
        this machine raises much else than ImportError.

    """
    try:
        return import_module(module)
    except Exception as error:
        raise BackendUnavailableError(
            f"{module} cannot be imported ({reason(error)}); {remedy}"
        ) from error


def require_file(file: ModelFile) -> None:
    """Check that a model's file, or SavedModel folder, exists.

    Raises
    ------
    BackendError
        If it does not.

    """
    if not file.path.exists():
        raise BackendError(f"{file.path}: no such file; correct 'files' in model.yaml")


def was_closed(description: BackendDescription) -> BackendError:
    """Make the error for a run after :meth:`Backend.close`."""
    return BackendError(f"{description.file.path}: the {description.backend} backend was closed")


def input_not_given(description: BackendDescription, name: str) -> BackendError:
    """Make the error for a run without one of the inputs."""
    return BackendError(
        f"{description.file.path}: input '{name}' was not given; "
        f"the model takes {', '.join(info.name for info in description.inputs)}"
    )


def inference_failed(description: BackendDescription, error: BaseException) -> BackendError:
    """Make the error for a run that the library gave up."""
    return BackendError(f"{description.file.path}: inference failed: {reason(error)}")
