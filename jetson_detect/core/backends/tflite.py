"""TensorFlow Lite through whichever of its Python packages is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    BackendUnavailableError,
    Quantization,
    TensorInfo,
)
from jetson_detect.core.backends.batch_sizes import batch_sizes
from jetson_detect.core.backends.cpu_threads import cpu_threads
from jetson_detect.core.backends.refusals import (
    inference_failed,
    input_not_given,
    reason,
    require_file,
    was_closed,
)
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import ModelFile

_RUNTIMES = (
    # module with the Interpreter, distribution that tells the version
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)


class TfliteBackend(Closing):
    """A ``.tflite`` file on the CPU, by the tensor names of its signature where it has one."""

    def __init__(self, file: ModelFile, options: BackendOptions = BackendOptions()) -> None:
        """Load a file.

        Raises
        ------
        BackendUnavailableError
            If no TensorFlow Lite runtime is installed.
        BackendError
            If the file cannot be run by it, or has no weights.

        """
        require_file(file)
        threads = cpu_threads(options)
        module, runtime = _find_runtime()
        try:
            self._interpreter: Any = module.Interpreter(
                str(file.path), num_threads=threads, **_resolver(module, options)
            )
            _refuse_variables(self._interpreter, file)
            self._interpreter.allocate_tensors()
            _refuse_missing_weights(self._interpreter, file)
            runner = _signature_runner(self._interpreter, file)
            # Another signature's graph is out of the interpreter's own reach.
            self._runner: Any = None if _is_main_graph(self._interpreter, runner) else runner
            self._inputs = _describe(self._interpreter, runner, "input", file)
            self._outputs = _describe(self._interpreter, runner, "output", file)
        except BackendError:
            raise
        except SystemError as error:  # what C code does with an array that it does not know
            raise BackendUnavailableError(
                f"{runtime} does not work with NumPy {np.__version__} ({reason(error)}); install a "
                "release of either that fits the other"
            ) from error
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"{file.path}: {runtime} cannot load it: {reason(error)}; convert the model again"
            ) from error
        self._shapes: dict[int, tuple[int, ...]] = {}
        """Of inputs whose size is not fixed: the one that memory is allocated for."""
        outputs = tuple(
            TensorInfo(info.name, info.shape, np.dtype(np.float32))
            if info.quantization is not None
            else info
            for _, info in self._outputs
        )
        self._arrays: dict[str, NDArray[Any]] = {
            info.name: np.empty([size or 0 for size in info.shape], info.dtype) for info in outputs
        }
        """What each output is written to, as real numbers."""
        # An open first axis stays at one: of files that leave it open, few can be resized (shapes
        # are written into the layers behind it), and on the CPU it gains nothing.
        sizes = batch_sizes((info for _, info in self._inputs), 1)
        self._description = BackendDescription(
            backend="tflite",
            runtime=runtime,
            device="CPU",
            file=file,
            inputs=tuple(info for _, info in self._inputs),
            outputs=outputs,
            details={"threads": str(threads), "delegate": _delegate(self._interpreter)},
            max_batch=sizes.most,
            min_batch=sizes.least,
        )

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""
        return self._description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """None: the interpreter's arena moves, and is only written through it."""
        return {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`jetson_detect.core.backends.base.Backend.run`."""
        interpreter = self._interpreter
        if interpreter is None:
            raise was_closed(self._description)
        try:
            if self._runner is not None:
                stored = self._runner(**{info.name: inputs[info.name] for _, info in self._inputs})
                return {info.name: self._real(info, stored[info.name]) for _, info in self._outputs}
            for index, info in self._inputs:
                self._set(index, info, inputs[info.name])
            interpreter.invoke()
            # A view of the arena, gone when it is read: while there is one, nothing can be invoked.
            return {
                info.name: self._real(info, interpreter.tensor(index)())
                for index, info in self._outputs
            }
        except KeyError as error:
            raise input_not_given(self._description, error.args[0]) from error
        except (ValueError, RuntimeError) as error:
            raise inference_failed(self._description, error) from error

    def close(self) -> None:
        """Free the interpreter and its arena."""
        self._runner = None
        self._interpreter = None

    def _set(self, index: int, info: TensorInfo, array: NDArray[Any]) -> None:
        """Write an input; one whose size is not fixed takes the size of what is given."""
        if None in info.shape and array.shape != self._shapes.get(index):
            self._interpreter.resize_tensor_input(index, array.shape, strict=True)
            self._interpreter.allocate_tensors()
            self._shapes[index] = array.shape
        self._interpreter.set_tensor(index, array)

    def _real(self, info: TensorInfo, stored: NDArray[Any]) -> NDArray[Any]:
        """Copy an output out of the interpreter, as real numbers."""
        real = self._arrays[info.name]
        if real.shape != stored.shape:
            real = self._arrays[info.name] = np.empty(stored.shape, real.dtype)
        if info.quantization is None:
            np.copyto(real, stored)
        else:
            # With the type said, as NumPy 1 would choose 16 bits for small numbers.
            zero_point = np.float32(info.quantization.zero_point)
            np.subtract(stored, zero_point, out=real, dtype=np.float32)
            np.multiply(real, np.float32(info.quantization.scale), out=real)
        return real


def _find_runtime() -> tuple[Any, str]:
    """Return the first module with an Interpreter that is installed, and its name with version."""
    refusals = []
    for name, distribution in _RUNTIMES:
        try:
            module = import_module(name)
        except Exception as error:  # ImportError, or whatever a build for another NumPy raises
            refusals.append(f"{distribution} ({reason(error)})")
            continue
        try:
            return module, f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            return module, distribution
    raise BackendUnavailableError(
        f"no TensorFlow Lite runtime: {'; '.join(refusals)}; pip install ai-edge-litert"
    )


def _resolver(module: Any, options: BackendOptions) -> dict[str, Any]:
    """Return the argument that leaves XNNPACK out; none for runtimes that never had it."""
    kinds = getattr(module, "OpResolverType", None)
    if options.tflite.xnnpack or kinds is None:
        return {}
    return {"experimental_op_resolver_type": kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def _operations(interpreter: Any) -> list[dict[str, Any]]:
    """Return what the interpreter says of its operations; nothing where it has no such method."""
    with suppress(AttributeError):
        operations: list[dict[str, Any]] = interpreter._get_ops_details()
        return operations
    return []


def _delegate(interpreter: Any) -> str:
    """Name what took over operations; XNNPACK is the only one that comes uncalled."""
    names = {operation["op_name"] for operation in _operations(interpreter)}
    return "XNNPACK" if "DELEGATE" in names else "none"


def _refuse_variables(interpreter: Any, file: ModelFile) -> None:
    """Refuse files that keep weights in resource variables, which no converter should write.

    Converting a Keras 3 SavedModel by its folder leaves the weights out and reads them from
    variables that are never set: the network then runs and returns NaN, in silence.
    """
    if any(operation["op_name"] == "VAR_HANDLE" for operation in _operations(interpreter)):
        raise BackendError(
            f"{file.path}: the file holds no weights (VAR_HANDLE), it would return NaN; "
            "convert it with TFLiteConverter.from_concrete_functions"
        )


def _refuse_missing_weights(interpreter: Any, file: ModelFile) -> None:
    """Refuse files in which something is read that nothing provides, once memory is allocated.

    Some operations check that for themselves; others read from address 0.
    """
    operations = _operations(interpreter)
    provided = {int(index) for operation in operations for index in operation["outputs"]}
    provided.update(int(detail["index"]) for detail in interpreter.get_input_details())
    details = {int(detail["index"]): detail for detail in interpreter.get_tensor_details()}
    read = {int(index) for operation in operations for index in operation["inputs"]}
    for index in sorted(read - provided):
        detail = details.get(index)
        if detail is None or not np.prod(detail["shape"]):  # left out, or empty by intent
            continue
        try:
            interpreter.tensor(index)()
        except ValueError as error:
            raise BackendError(
                f"{file.path}: the file lacks weights ('{detail['name']}' has no data); "
                "convert the model again"
            ) from error


def _signature_runner(interpreter: Any, file: ModelFile) -> Any:
    """Return the runner of the file's signature; None if it has no signature."""
    signatures: dict[str, Any] = interpreter.get_signature_list() or {}
    if not signatures:
        if file.signature:
            raise BackendError(
                f"{file.path}: has no signature, so not '{file.signature}'; "
                "take 'signature' out of model.yaml"
            )
        return None
    key = file.signature or next(iter(signatures))
    if key not in signatures:
        raise BackendError(
            f"{file.path}: has no signature '{key}'; it has {', '.join(signatures)}: "
            "name one of them as this file's signature in model.yaml"
        )
    return interpreter.get_signature_runner(key)


def _is_main_graph(interpreter: Any, runner: Any) -> bool:
    """Whether a signature is of the graph that the interpreter runs without being told."""
    return runner is None or all(
        {(int(detail["index"]), detail["name"]) for detail in of_runner.values()}
        == {(int(detail["index"]), detail["name"]) for detail in of_interpreter}
        for of_runner, of_interpreter in (
            (runner.get_input_details(), interpreter.get_input_details()),
            (runner.get_output_details(), interpreter.get_output_details()),
        )
    )


def _describe(
    interpreter: Any, runner: Any, kind: str, file: ModelFile
) -> tuple[tuple[int, TensorInfo], ...]:
    """Return index and description of each input or output; by the signature's names if any."""
    if runner is not None:
        details: Mapping[str, Any] = getattr(runner, f"get_{kind}_details")()
    else:
        listed: Sequence[Any] = getattr(interpreter, f"get_{kind}_details")()
        details = {str(detail["name"]): detail for detail in listed}
    return tuple(
        (int(detail["index"]), _describe_one(str(name), detail, file))
        for name, detail in details.items()
    )


def _describe_one(name: str, detail: Mapping[str, Any], file: ModelFile) -> TensorInfo:
    if len(detail["quantization_parameters"]["scales"]) > 1:
        raise BackendError(
            f"{file.path}: '{name}' is quantised by channel; convert the model with inputs and "
            "outputs that are quantised as a whole, or not at all"
        )
    scale, zero_point = detail["quantization"]
    sizes = detail.get("shape_signature", detail["shape"])
    if len(sizes) != len(detail["shape"]):
        sizes = detail["shape"]
    return TensorInfo(
        name=name,
        shape=tuple(None if size < 0 else int(size) for size in sizes),
        dtype=np.dtype(detail["dtype"]),
        quantization=Quantization(float(scale), int(zero_point)) if scale else None,
    )
