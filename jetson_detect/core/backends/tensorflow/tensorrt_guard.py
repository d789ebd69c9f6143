"""Whether TensorFlow can run what TF-TRT has converted, asked in the only way that is safe.

A TensorFlow that was built without TensorRT ends the process when it is asked anything about
TF-TRT, and most builds are without: the wheels on PyPI have been since 2.18.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from jetson_detect.core.backends.base import BackendUnavailableError
from jetson_detect.core.model import Format, ModelFile

_ENGINE_OP = b"TRTEngineOp"
# A NodeDef has its operation as field 2, a string: tag, length, text (tensorflow/core/framework/
# node_def.proto).  Names of nodes and functions, which may contain the same, are other fields.
_ENGINE_NODE = bytes([2 << 3 | 2, len(_ENGINE_OP)]) + _ENGINE_OP


def refuse_without_tensorrt(tf: Any, file: ModelFile, has_gpu: bool) -> None:
    """Check that a SavedModel does not need a TensorRT that TensorFlow does not have.

    Raises
    ------
    BackendUnavailableError
        If it does, or if there is no GPU.

    """
    if file.format is Format.TF_TRT:
        what = "is declared as tf_trt"
    elif holds_engines(file.path / "saved_model.pb"):
        what = "holds TF-TRT engines (TRTEngineOp)"
    else:
        return
    if not tf.sysconfig.get_build_info().get("is_tensorrt_build", False):
        raise BackendUnavailableError(
            f"{file.path}: {what}, but TensorFlow {tf.__version__} was built without TensorRT; "
            "install a build with it (NVIDIA's wheel for the board's JetPack, or tensorflow up to "
            "2.17 with its TensorRT) or give the SavedModel from before the conversion"
        )
    if not has_gpu:
        raise BackendUnavailableError(
            f"{file.path}: {what}, but TensorFlow {tf.__version__} sees no GPU; check the driver "
            "and CUDA_VISIBLE_DEVICES, or give the SavedModel from before the conversion"
        )


def holds_engines(graph: Path) -> bool:
    """Whether a ``saved_model.pb`` has nodes that TF-TRT has put there."""
    if not graph.is_file() or not graph.stat().st_size:
        return False
    with graph.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(_ENGINE_NODE) >= 0
