"""ONNX files through ONNX Runtime, on the CPU, CUDA or TensorRT."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    BackendDescription,
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    TensorInfo,
)
from jetson_detect.core.backends.batch_sizes import batch_sizes
from jetson_detect.core.backends.cpu_threads import cpu_threads
from jetson_detect.core.backends.refusals import (
    import_library,
    inference_failed,
    input_not_given,
    reason,
    require_file,
    was_closed,
)
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import ModelFile

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_TENSORRT = "TensorrtExecutionProvider"
_BY_DEFAULT = (_CUDA, _CPU)
"""Not TensorRT: that provider builds an engine at each start, for minutes and in silence."""
_LIBRARIES = {
    _CUDA: "libonnxruntime_providers_cuda.so",
    _TENSORRT: "libonnxruntime_providers_tensorrt.so",
}
_SHARED_LIBRARY = "libonnxruntime_providers_shared.so"

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_MISSING_WEIGHTS = "copy the file with the weights beside it"
_REMEDIES = (
    ("external data", _MISSING_WEIGHTS),
    # Of older releases; that the file itself is there was seen before.
    ("no such file", _MISSING_WEIGHTS),
    ("getfilelength", _MISSING_WEIGHTS),
    ("opset", "export it for an older opset or install a newer onnxruntime"),
    ("ir version", "export it with an older onnx or install a newer onnxruntime"),
    ("no op registered", "export it for another opset or install a newer onnxruntime"),
)
"""What to do, by what ONNX Runtime's message contains in lower case."""
_ERRORS_ONLY = 3
"""A log severity of ONNX Runtime; 2, its default, tells of every optimisation it did not do."""


class OnnxruntimeBackend(Closing):
    """An ``.onnx`` file, on the best execution provider that is there or on those named.

    Outputs of fixed shape are written into memory that is bound once.  On CUDA the inputs are,
    too; on the CPU they are read from wherever they lie.

    Where the first axis of all inputs is open it takes several pictures at once; outputs that are
    as long as the input, by the names that the file gives its sizes, have memory for all of them.
    """

    def __init__(self, file: ModelFile, options: BackendOptions = BackendOptions()) -> None:
        """Load a file.

        Raises
        ------
        BackendUnavailableError
            If ONNX Runtime is not installed, or a provider that was named does not work here.
        BackendError
            If ONNX Runtime cannot run the file.

        """
        require_file(file)
        library = import_library("onnxruntime", "pip install onnxruntime")
        named = options.onnxruntime.providers
        providers = _choose_providers(library, named)
        threads = cpu_threads(options)
        session, refused = _open_session(library, file, providers, threads, bool(named))
        active = tuple(session.get_providers())
        details = {"threads": str(threads), "providers": ", ".join(active)}
        for provider in providers:
            if provider not in active:
                why = refused or _why_inactive(library, provider)
                if named:
                    raise BackendUnavailableError(
                        f"{file.path}: onnxruntime {library.__version__} runs without {provider}: "
                        f"{why}; install what it needs or take it out of the providers"
                    )
                details["refused"] = f"{provider} ({why})"
        self._session: Any = session
        self._inputs = _describe(session.get_inputs(), file)
        self._outputs = _describe(session.get_outputs(), file)
        sizes = batch_sizes(self._inputs, options.batch.largest(on_cpu=active[0] == _CPU))
        self._binding: Any = session.io_binding()
        self._on_device: dict[str, Any] | None = {} if active[0] in _LIBRARIES else None
        """Inputs in the GPU's memory; None where inference reads them from ours."""
        self._batched: dict[str, NDArray[Any]] = {}
        """Memory for the outputs of the largest batch."""
        if sizes.most > 1:
            axis = session.get_inputs()[0].shape[0]
            for info, tensor in zip(self._outputs, session.get_outputs()):
                if isinstance(axis, str) and tensor.shape[:1] == [axis] and all(info.shape[1:]):
                    self._batched[info.name] = _empty((sizes.most, *info.shape[1:]), info)
        self._arrays: dict[str, NDArray[Any]] = {}
        """The outputs that are bound."""
        self._unfixed: list[TensorInfo] = []
        self._bound_batch = 0
        self._bind_outputs(1)
        self._library: Any = library
        self._description = BackendDescription(
            backend="onnxruntime",
            runtime=f"onnxruntime {library.__version__}",
            device="CPU" if active[0] == _CPU else f"GPU ({active[0]})",
            file=file,
            inputs=self._inputs,
            outputs=self._outputs,
            details=details,
            max_batch=sizes.most,
            min_batch=sizes.least,
        )

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""
        return self._description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """None: on the CPU any contiguous array is read where it lies."""
        return {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`jetson_detect.core.backends.base.Backend.run`."""
        session = self._session
        if session is None:
            raise was_closed(self._description)
        try:
            for info in self._inputs:
                array = inputs[info.name]
                self._bind_input(info, array)
            if self._batched and len(array) != self._bound_batch:
                self._bind_outputs(len(array))
            for info in self._unfixed:
                # Anew each time, or it would stay bound to the memory of the last run.
                self._binding.bind_output(info.name, "cpu")
            session.run_with_iobinding(self._binding)
            return self._all_outputs() if self._unfixed else self._arrays
        except KeyError as error:
            raise input_not_given(self._description, error.args[0]) from error
        except Exception as error:
            raise inference_failed(self._description, error) from error

    def close(self) -> None:
        """Free the session and what is bound to it."""
        self._binding = None
        self._on_device = None
        self._session = None

    def _bind_input(self, info: TensorInfo, array: NDArray[Any]) -> None:
        """Have the next run read an array."""
        if self._on_device is None:
            # Each time: to ask whether it is the same array costs as much as to bind it.
            self._binding.bind_cpu_input(info.name, array)
            return
        if array.dtype != info.dtype:  # of which the copy to the device would make nonsense
            raise BackendError(f"input '{info.name}' is {array.dtype}, not {info.dtype}")
        value = self._on_device.get(info.name)
        if value is None or tuple(value.shape()) != array.shape:
            value = self._library.OrtValue.ortvalue_from_shape_and_type(
                list(array.shape), info.dtype.type, "cuda", 0
            )
            self._on_device[info.name] = value
            self._binding.bind_ortvalue_input(info.name, value)
        value.update_inplace(array)

    def _bind_outputs(self, batch: int) -> None:
        """Bind memory of our own to outputs whose shape is known for so many pictures."""
        self._bound_batch = batch
        self._unfixed = []
        for info in self._outputs:
            largest = self._batched.get(info.name)
            if largest is not None:
                array = largest[:batch]
            elif all(info.shape):
                known = info.name in self._arrays
                array = self._arrays[info.name] if known else _empty(info.shape, info)
            else:
                self._unfixed.append(info)
                self._binding.bind_output(info.name, "cpu")  # to keep its place in the order
                continue
            self._binding.bind_output(
                info.name, "cpu", 0, info.dtype.type, array.shape, array.ctypes.data
            )
            self._arrays[info.name] = array

    def _all_outputs(self) -> dict[str, NDArray[Any]]:
        """Return outputs of fixed shape, and those whose shape only this run has told."""
        values = self._binding.get_outputs()  # in the order in which they were bound
        return {
            info.name: self._arrays[info.name] if info.name in self._arrays else value.numpy()
            for info, value in zip(self._outputs, values)
        }


def _empty(shape: tuple[int | None, ...], info: TensorInfo) -> NDArray[Any]:
    return np.empty([size or 0 for size in shape], info.dtype)


def _choose_providers(library: Any, named: Sequence[str]) -> list[str]:
    """Return the providers to ask for, best first."""
    available = library.get_available_providers()
    unknown = [provider for provider in named if provider not in available]
    if unknown:
        raise BackendUnavailableError(
            f"onnxruntime {library.__version__} has no {', '.join(unknown)}, but "
            f"{', '.join(available)}; name some of those, or install onnxruntime-gpu"
        )
    return list(named) or [provider for provider in _BY_DEFAULT if provider in available]


def _open_session(
    library: Any, file: ModelFile, providers: Sequence[str], threads: int, named: bool
) -> tuple[Any, str]:
    """Load a file; return the session, and why it is on the CPU if the other providers fail."""

    def load(providers: Sequence[str]) -> Any:
        return library.InferenceSession(
            str(file.path),
            _session_options(library, threads),
            providers=list(providers),
            enable_fallback=False,  # it would go on without a provider, and print so
        )

    # The library's own exceptions have no base but Exception.
    try:
        return load(providers), ""
    except Exception as error:
        if list(providers) == [_CPU]:
            raise _cannot_load(file, library, error) from error
        refused = reason(error)
    try:  # whose fault it was: the file's or the provider's
        session = load([_CPU])
    except Exception as error:
        raise _cannot_load(file, library, error) from error
    if named:
        raise BackendError(
            f"{file.path}: onnxruntime {library.__version__} cannot run it on "
            f"{', '.join(providers)}: {refused}; install what they need or choose other providers"
        )
    return session, refused


def _session_options(library: Any, threads: int) -> Any:
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin between operations gain a third of a millisecond on a machine that is
    # idle, and take it from the camera driver and the other nodes on one that is not.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _cannot_load(file: ModelFile, library: Any, error: Exception) -> BackendError:
    said = reason(error)
    remedies = (remedy for text, remedy in _REMEDIES if text in said.lower())
    remedy = next(remedies, "copy or export the model again")
    return BackendError(
        f"{file.path}: onnxruntime {library.__version__} cannot load it: {said}; {remedy}"
    )


def _why_inactive(library: Any, provider: str) -> str:
    """Find out why ONNX Runtime left a provider out, which it tells nobody but its log."""
    if provider not in _LIBRARIES:
        return "it supports nothing in this model"
    folder = Path(library.__file__).parent / "capi"
    try:
        for name in (_SHARED_LIBRARY, _LIBRARIES[provider]):
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return reason(error)
    return "its library loads, but finds no GPU that it can use"


def _describe(tensors: Sequence[Any], file: ModelFile) -> tuple[TensorInfo, ...]:
    """Describe inputs or outputs; a dimension that has a name is not fixed."""
    infos = []
    for tensor in tensors:
        if tensor.type not in _DTYPES:
            raise BackendError(
                f"{file.path}: '{tensor.name}' is a {tensor.type}, of which NumPy knows nothing; "
                f"export the model with one of {', '.join(_DTYPES)}"
            )
        shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
        infos.append(TensorInfo(tensor.name, shape, np.dtype(_DTYPES[tensor.type])))
    return tuple(infos)
