"""TF-TRT, opened in the only order that is safe.

A TensorFlow that was built without TensorRT ends the process when it is asked anything about
TF-TRT, and most builds are without: the wheels on PyPI have been since 2.18.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jetson_detect.core.exports.errors import ExportError, import_exporter

_MODULE = "tensorflow.python.compiler.tensorrt.trt_convert"
_NATIVE = "tensorflow.compiler.tf2tensorrt._pywrap_py_utils"


@dataclass(frozen=True, eq=False)
class TfTrtLibrary:
    """What converts."""

    converter: Any
    """The class ``TrtGraphConverterV2``."""
    tensorrt: str
    """The version of TensorRT that is loaded."""


def open_tf_trt(tf: Any, has_gpu: bool) -> TfTrtLibrary:
    """Find out whether TF-TRT works here.

    Parameters
    ----------
    tf:
        TensorFlow.
    has_gpu:
        Whether it sees a GPU.

    Raises
    ------
    ExportError
        If it was built without TensorRT, finds no TensorRT to load, or sees no GPU.

    """
    name = f"TensorFlow {tf.__version__}"
    if not tf.sysconfig.get_build_info().get("is_tensorrt_build", False):
        raise ExportError(
            f"TF-TRT: {name} was built without TensorRT; install a build with it (NVIDIA's wheel "
            "for the board's JetPack, or tensorflow up to 2.17 with its TensorRT 8.6), or build an "
            "engine without TensorFlow, from ONNX"
        )
    native = import_exporter(_NATIVE, "install TensorFlow again")
    if not native.is_tensorrt_enabled():
        wanted = _version(native.get_linked_tensorrt_version())
        raise ExportError(
            f"TF-TRT: {name} was built with TensorRT {wanted}, but cannot load it; install that "
            f"version, and have LD_LIBRARY_PATH name the folder of libnvinfer.so.{wanted[:1]}"
        )
    if not has_gpu:
        raise ExportError(
            f"TF-TRT: {name} sees no GPU, on which engines are built; check the driver, cuDNN and "
            "CUDA_VISIBLE_DEVICES"
        )
    linked, loaded = native.get_linked_tensorrt_version(), native.get_loaded_tensorrt_version()
    _check_versions(name, tuple(linked), tuple(loaded))
    library = import_exporter(_MODULE, "install TensorFlow again")
    return TfTrtLibrary(library.TrtGraphConverterV2, _version(loaded))


def _check_versions(name: str, linked: tuple[int, ...], loaded: tuple[int, ...]) -> None:
    """Refuse what TF-TRT refuses as well, but with another reason than the true one."""
    if linked[0] != loaded[0] or loaded < linked:
        raise ExportError(
            f"TF-TRT: {name} was built with TensorRT {_version(linked)} and loads "
            f"{_version(loaded)}; install {_version(linked)}, or a later {linked[0]}.x"
        )


def _version(numbers: Iterable[int]) -> str:
    return ".".join(map(str, numbers))
