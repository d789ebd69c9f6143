"""Shared libraries with plugins, which a plan may need."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jetson_detect.core.backends.base import BackendError, TensorrtRuntime
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

if TYPE_CHECKING:
    import tensorrt as trt

_logger = logging.getLogger(__name__)

_REGISTERED_BY_TENSORRT = ("getCreators", "getPluginCreators")
"""What a library exports that leaves it to TensorRT to register its plugins."""


def load_plugins(library: TensorrtLibrary, runtime: trt.Runtime, paths: Iterable[str]) -> None:
    """Load TensorRT's own plugins, and libraries by path; they stay for the process's life.

    Raises
    ------
    BackendError
        If a library cannot be loaded.

    """
    trt, features = library.trt, library.features
    mark = library.errors.mark()
    if library.runtime is TensorrtRuntime.FULL and not trt.init_libnvinfer_plugins(
        library.logger, ""
    ):
        raise BackendError(
            f"{library} cannot load its plugins ({library.errors.since(mark)}); install it again"
        )
    for path in paths:
        try:
            # With its symbols for all: plugins that register themselves find TensorRT's registry.
            plugins = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise BackendError(
                f"tensorrt.plugin_libraries: '{path}' cannot be loaded ({error}): correct the "
                f"path, and build it for {library}"
            ) from error
        if not any(hasattr(plugins, name) for name in _REGISTERED_BY_TENSORRT):
            continue
        if features.plugin_registry_of_runtime:
            registry = runtime.get_plugin_registry()
            if registry.load_library(path) is None:
                # Also when they had registered themselves; if not, the plan will not load either.
                _logger.warning(
                    "the plugins of '%s' were not registered by %s (%s)",
                    path,
                    library,
                    library.errors.since(mark),
                )
