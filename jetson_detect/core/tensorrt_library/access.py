"""The only place that imports TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from jetson_detect.core.backends.base import BackendUnavailableError, TensorrtRuntime
from jetson_detect.core.tensorrt_library.driver import CudaDriver
from jetson_detect.core.tensorrt_library.features import Features, features_of
from jetson_detect.core.tensorrt_library.logger import ErrorLog, LogWatchers, logger_of

_MODULES = {
    TensorrtRuntime.FULL: (
        "tensorrt",
        "on a Jetson install python3-libnvinfer (part of JetPack) and make the virtual "
        "environment with --system-site-packages; elsewhere pip install tensorrt",
    ),
    TensorrtRuntime.LEAN: (
        "tensorrt_lean",
        "install python3-libnvinfer-lean or pip install tensorrt-lean (TensorRT 8.6 or newer), "
        "or set tensorrt.runtime to full",
    ),
}


@dataclass(frozen=True, eq=False)
class TensorrtLibrary:
    """TensorRT, on a machine where it can work."""

    trt: ModuleType
    """The module ``tensorrt`` or ``tensorrt_lean``."""
    version: str
    features: Features
    """What this version has."""
    driver: CudaDriver
    logger: object
    """The ``ILogger`` for whatever is made with one."""
    errors: ErrorLog
    """The errors that the logger was told."""
    watchers: LogWatchers
    """Who sees all that the logger is told."""
    runtime: TensorrtRuntime

    def __str__(self) -> str:
        lean = " lean" if self.runtime is TensorrtRuntime.LEAN else ""
        return f"TensorRT{lean} {self.version}"


def open_library(runtime: TensorrtRuntime = TensorrtRuntime.FULL) -> TensorrtLibrary:
    """Import TensorRT and see that it can work here.

    Raises
    ------
    BackendUnavailableError
        If it is not installed, its version is not known, or there is no driver or GPU.

    """
    name, remedy = _MODULES[runtime]
    try:
        trt = import_module(name)
        version = str(trt.__version__)
    # OSError and AttributeError: installed by halves, with a library or a symbol missing.
    except (ImportError, OSError, AttributeError) as error:
        raise BackendUnavailableError(f"{name} cannot be imported ({error}): {remedy}") from error
    features = features_of(version)
    driver = CudaDriver()
    logger, errors, watchers = logger_of(trt)
    return TensorrtLibrary(trt, version, features, driver, logger, errors, watchers, runtime)
