"""The libraries that ONNX graphs are worked on with, imported where they are needed."""

from __future__ import annotations

from typing import Any

from jetson_detect.core.backends.refusals import import_library


def import_onnx() -> Any:
    """Import ``onnx``.

    Raises
    ------
    BackendUnavailableError
        If it cannot be imported; so do the other functions of this module.

    """
    return import_library("onnx", "install it to work on ONNX files: pip install onnx")


def import_graphsurgeon() -> Any:
    """Import ``onnx_graphsurgeon``, silent but for errors."""
    graphsurgeon = import_library(
        "onnx_graphsurgeon", "install it to clean ONNX graphs: pip install onnx-graphsurgeon"
    )
    logger = import_library("onnx_graphsurgeon.logger", "install onnx-graphsurgeon again").G_LOGGER
    logger.severity = logger.ERROR
    return graphsurgeon


def import_onnxruntime(module: str = "onnxruntime") -> Any:
    """Import ONNX Runtime or a part of it."""
    return import_library(
        module, "install it to run and convert ONNX graphs: pip install onnxruntime"
    )
