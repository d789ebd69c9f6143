"""TensorFlow Lite through whichever of its Python packages is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    BackendDescription,
    BackendError,
    BackendOptions,
    Quantization,
    TensorInfo,
)
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import ModelFile

_RUNTIMES = (
    # module with the Interpreter, distribution that tells the version
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)
_DEFAULT_THREADS = max(1, min(4, (os.cpu_count() or 1)))


class TfliteBackend(Closing):
    """A ``.tflite`` file on the CPU, by the tensor names of its signature where it has one."""

    def __init__(self, file: ModelFile, options: BackendOptions = BackendOptions()) -> None:
        """Load a file.

        Raises
        ------
        BackendError
            If no TensorFlow Lite runtime is installed or the file cannot be run by it.

        """
        if not file.path.is_file():
            raise BackendError(f"{file.path}: no such file; correct 'files' in model.yaml")
        threads = options.threads or _DEFAULT_THREADS
        interpreter_class, runtime = _find_runtime()
        try:
            self._interpreter: Any = interpreter_class(str(file.path), num_threads=threads)
            self._refuse_variables(file)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"{file.path}: {runtime} cannot load it: {error}; convert the model again"
            ) from error
        self._inputs = self._tensors(self._interpreter.get_input_details(), file, "inputs")
        self._outputs = self._tensors(self._interpreter.get_output_details(), file, "outputs")
        self._real: dict[str, NDArray[np.float32]] = {
            info.name: np.empty([size or 1 for size in info.shape], np.float32)
            for _, info in self._outputs
            if info.quantization is not None
        }
        self._description = BackendDescription(
            backend="tflite",
            runtime=runtime,
            device="CPU",
            file=file,
            inputs=tuple(info for _, info in self._inputs),
            outputs=tuple(
                TensorInfo(info.name, info.shape, np.dtype(np.float32))
                if info.quantization is not None
                else info
                for _, info in self._outputs
            ),
            details={"threads": str(threads)},
        )

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""
        return self._description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """None: the interpreter's arena is only written through it."""
        return {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`jetson_detect.core.backends.base.Backend.run`."""
        interpreter = self._interpreter
        if interpreter is None:
            raise BackendError(f"{self._description.file.path}: the tflite backend was closed")
        try:
            for index, info in self._inputs:
                interpreter.set_tensor(index, inputs[info.name])
            interpreter.invoke()
            return {info.name: self._read(index, info) for index, info in self._outputs}
        except KeyError as error:
            raise BackendError(
                f"input {error} was not given; the model takes "
                f"{', '.join(info.name for _, info in self._inputs)}"
            ) from error
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"{self._description.file.path}: inference failed: {error}"
            ) from error

    def close(self) -> None:
        """Free the interpreter and its arena."""
        self._interpreter = None

    def _read(self, index: int, info: TensorInfo) -> NDArray[Any]:
        """Copy an output out of the arena, dequantised: a view would lock the interpreter."""
        stored: NDArray[Any] = self._interpreter.get_tensor(index)
        if info.quantization is None:
            return stored
        real = self._real[info.name]
        np.subtract(stored, np.float32(info.quantization.zero_point), out=real)
        np.multiply(real, np.float32(info.quantization.scale), out=real)
        return real

    def _refuse_variables(self, file: ModelFile) -> None:
        """Refuse files that keep weights in resource variables, which no converter should write.

        Converting a Keras 3 SavedModel by its folder leaves the weights out and reads them from
        variables that are never set: the network then runs and returns NaN, in silence.
        """
        with suppress(AttributeError):
            operators = {entry["op_name"] for entry in self._interpreter._get_ops_details()}
            if "VAR_HANDLE" in operators:
                raise BackendError(
                    f"{file.path}: the file holds no weights (VAR_HANDLE), it would return NaN; "
                    "convert it with TFLiteConverter.from_concrete_functions"
                )

    def _tensors(
        self, details: list[dict[str, Any]], file: ModelFile, kind: str
    ) -> list[tuple[int, TensorInfo]]:
        """Pair interpreter indices with descriptions; by the signature's names if any."""
        names = self._signature_names(file, kind)
        tensors = []
        for detail in details:
            scale, zero_point = detail["quantization"]
            tensors.append(
                (
                    int(detail["index"]),
                    TensorInfo(
                        name=names.get(int(detail["index"]), str(detail["name"])),
                        shape=tuple(None if n < 0 else int(n) for n in detail["shape"]),
                        dtype=np.dtype(detail["dtype"]),
                        quantization=Quantization(float(scale), int(zero_point)) if scale else None,
                    ),
                )
            )
        return tensors

    def _signature_names(self, file: ModelFile, kind: str) -> dict[int, str]:
        """Map interpreter indices to the names in the file's signature; empty if it has none."""
        signatures: dict[str, Any] = self._interpreter.get_signature_list() or {}
        if not signatures:
            if file.signature:
                raise BackendError(f"{file.path}: has no signature, so not '{file.signature}'")
            return {}
        key = file.signature or next(iter(signatures))
        if key not in signatures:
            raise BackendError(
                f"{file.path}: has no signature '{key}'; it has {', '.join(signatures)}"
            )
        runner = self._interpreter.get_signature_runner(key)
        get_details = runner.get_input_details if kind == "inputs" else runner.get_output_details
        return {int(detail["index"]): str(name) for name, detail in get_details().items()}


def _find_runtime() -> tuple[Callable[..., Any], str]:
    """Return the first Interpreter class that can be imported, and its name with version."""
    refusals = []
    for module, distribution in _RUNTIMES:
        try:
            interpreter = import_module(module).Interpreter
        except ImportError as error:
            refusals.append(f"{distribution} ({error})")
            continue
        try:
            return interpreter, f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            return interpreter, distribution
    raise BackendError(
        f"no TensorFlow Lite runtime: {'; '.join(refusals)}; pip install ai-edge-litert"
    )
