"""The TensorFlow backend: one class for all kinds of files."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    BackendDescription,
    BackendError,
    BackendOptions,
    TensorInfo,
)
from jetson_detect.core.backends.batch_sizes import batch_sizes
from jetson_detect.core.backends.refusals import (
    import_library,
    inference_failed,
    input_not_given,
    reason,
    require_file,
    was_closed,
)
from jetson_detect.core.backends.tensorflow.frozen_graph import load_frozen_graph
from jetson_detect.core.backends.tensorflow.keras_file import load_keras_file
from jetson_detect.core.backends.tensorflow.memory import SharedMemory
from jetson_detect.core.backends.tensorflow.network import Network
from jetson_detect.core.backends.tensorflow.process import set_up
from jetson_detect.core.backends.tensorflow.saved_model import load_saved_model
from jetson_detect.core.backends.tensorflow.tensorrt_guard import refuse_without_tensorrt
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import Format, ModelFile

_LOADERS: dict[Format, Callable[[Any, ModelFile], Network]] = {
    Format.SAVED_MODEL: load_saved_model,
    Format.TF_TRT: load_saved_model,
    Format.KERAS: load_keras_file,
    Format.FROZEN_GRAPH: load_frozen_graph,
}


class TensorflowBackend(Closing):
    """A SavedModel, TF-TRT SavedModel, Keras file or frozen graph, on a GPU where there is one."""

    def __init__(self, file: ModelFile, options: BackendOptions = BackendOptions()) -> None:
        """Load a file.

        Raises
        ------
        BackendUnavailableError
            If TensorFlow is not installed, or lacks the TensorRT or GPU that the file needs.
        BackendError
            If TensorFlow cannot run the file.

        """
        require_file(file)
        tf = _import_tensorflow()
        try:
            process = set_up(tf, options)
            if file.format in (Format.SAVED_MODEL, Format.TF_TRT):
                refuse_without_tensorrt(tf, file, process.has_gpu)
            network = _LOADERS[file.format](tf, file)
        except BackendError:
            raise
        except Exception as error:  # a wrong file makes TensorFlow raise almost anything
            raise BackendError(
                f"{file.path}: TensorFlow {tf.__version__} cannot load it as {file.format.value}: "
                f"{reason(error)}; correct 'format' in model.yaml, or save the model again"
            ) from error
        self._tf: Any = tf
        self._network: Network | None = network
        self._shares = not process.has_gpu
        sizes = batch_sizes(network.inputs, options.batch.largest(on_cpu=not process.has_gpu))
        self._memory: dict[str, SharedMemory] = {}
        for info in network.inputs:
            first = info.shape[:1] if sizes.most == 1 else (sizes.most,)
            shape = (*first, *info.shape[1:])
            if all(shape):
                self._take_memory(info, tuple(size or 0 for size in shape))
        self._input_arrays = {name: memory.array for name, memory in self._memory.items()}
        self._description = BackendDescription(
            backend="tensorflow",
            runtime=f"tensorflow {tf.__version__}",
            device=process.device,
            file=file,
            inputs=network.inputs,
            outputs=network.outputs,
            details=process.details,
            max_batch=sizes.most,
            min_batch=sizes.least,
        )

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""
        return self._description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Memory that TensorFlow reads, for inputs of fixed shape on a CPU; none on a GPU."""
        return self._input_arrays

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`jetson_detect.core.backends.base.Backend.run`.

        The arrays that come back are read-only.
        """
        network = self._network
        if network is None:
            raise was_closed(self._description)
        tensors = {info.name: self._tensor(info, inputs) for info in network.inputs}
        try:
            outputs = network.call(tensors)
            return {info.name: _array(info, outputs[info.name]) for info in network.outputs}
        except Exception as error:
            raise inference_failed(self._description, error) from error

    def close(self) -> None:
        """Let go of the network and of its memory; TensorFlow itself stays loaded."""
        if self._network is not None:
            self._network = None
            self._memory = {}
            self._input_arrays = {}
            gc.collect()  # loaded functions are full of cycles, which hold their weights

    def _tensor(self, info: TensorInfo, inputs: Mapping[str, NDArray[Any]]) -> Any:
        """Return an input as TensorFlow's, in memory that it shares with us where that works."""
        array = inputs.get(info.name)
        if array is None:
            raise input_not_given(self._description, info.name)
        if array.dtype != info.dtype or not _fits(array.shape, info.shape):
            raise BackendError(
                f"{self._description.file.path}: input '{info.name}' is {array.dtype} "
                f"{array.shape}, but the model takes {info.dtype} {info.shape}; "
                "correct 'input' in model.yaml"
            )
        memory = self._memory.get(info.name)
        if memory is None or not memory.holds(array.shape):
            memory = self._take_memory(info, array.shape)
        if memory is None:
            return self._tf.constant(array)
        return memory.tensor_of(array)

    def _take_memory(self, info: TensorInfo, shape: tuple[int, ...]) -> SharedMemory | None:
        if not self._shares:
            return None
        try:
            self._memory[info.name] = SharedMemory(self._tf, shape, info.dtype)
        except Exception:  # before NumPy 1.22, and for types that DLPack does not know
            self._shares = False
        return self._memory.get(info.name)


def _import_tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start would fill the node's log
    first = "tensorflow" not in sys.modules
    tf = import_library("tensorflow", "pip install tensorflow")
    if first:
        # A quarter of a million objects that stay: without them a collection, which stops every
        # thread of the node, takes 0.01 s instead of 0.17 (measured with the demo model).
        gc.collect()
        gc.freeze()
    return tf


def _fits(shape: tuple[int, ...], described: tuple[int | None, ...]) -> bool:
    return len(shape) == len(described) and all(
        wanted in (size, None) for size, wanted in zip(shape, described)
    )


def _array(info: TensorInfo, tensor: Any) -> NDArray[Any]:
    """Return an output as NumPy's, in TensorFlow's own memory if it is of a type that both know."""
    array: NDArray[Any] = np.asarray(tensor)
    return array if array.dtype == info.dtype else array.astype(info.dtype)
