"""A fake of TensorRT's Python module in one of its versions; see the README beside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake_layers
import fake_network
import numpy as np
import simulated_gpu
from fake_network import Network
from fake_plan import make_plan, read_plan
from simulated_gpu import MACHINE, POISON

simulated_gpu.install()

__version__ = os.environ.get("FAKE_TENSORRT_VERSION", "10.3.0")
_release = tuple(int(part) for part in __version__.split(".")[:2])


class _Member:
    """A value of an enum of pybind11."""

    def __init__(self, kind: str, name: str, value: int) -> None:
        self._kind, self.name, self.value = kind, name, value

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __repr__(self) -> str:
        return f"<{self._kind}.{self.name}: {self.value}>"


def _enum(kind: str, *names: str | tuple[str, tuple[int, int], tuple[int, int]]) -> Any:
    """Make an enum of the names that this version has: name, or name with first and last."""
    present = [
        name if isinstance(name, str) else name[0]
        for name in names
        if isinstance(name, str) or name[1] <= _release <= name[2]
    ]
    members = {name: _Member(kind, name, value) for value, name in enumerate(present)}
    return type(kind, (), {**members, "__members__": members})


_8, _86, _10, _11 = (8, 5), (8, 6), (10, 0), (11, 0)
_LAST_10, _NEWEST = (10, 16), (11, 99)

DataType = _enum(
    "DataType", "FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", ("FP8", _86, _NEWEST),
    ("BF16", _10, _NEWEST), ("INT64", _10, _NEWEST), ("INT4", _10, _NEWEST),
)  # fmt: skip
TensorFormat = _enum("TensorFormat", "LINEAR", "CHW2", "HWC8", "CHW4", "CHW16", "CHW32")
TensorLocation = _enum("TensorLocation", "DEVICE", "HOST")
TensorIOMode = _enum("TensorIOMode", "NONE", "INPUT", "OUTPUT")
BuilderFlag = _enum(
    "BuilderFlag", ("FP16", _8, _LAST_10), ("INT8", _8, _LAST_10), "DEBUG", "GPU_FALLBACK", "REFIT",
    "TF32", "SPARSE_WEIGHTS", ("FP8", _86, _LAST_10), ("VERSION_COMPATIBLE", _86, _NEWEST),
    ("EXCLUDE_LEAN_RUNTIME", _86, _NEWEST), ("BF16", _10, _LAST_10), ("STRIP_PLAN", _10, _NEWEST),
)  # fmt: skip
NetworkDefinitionCreationFlag = _enum(
    "NetworkDefinitionCreationFlag", ("EXPLICIT_BATCH", _8, _LAST_10),
    ("STRONGLY_TYPED", _10, _NEWEST),
)  # fmt: skip
DeviceType = _enum("DeviceType", "GPU", "DLA")
HardwareCompatibilityLevel = _enum(
    "HardwareCompatibilityLevel", ("NONE", _86, _NEWEST), ("AMPERE_PLUS", _86, _NEWEST),
    ("SAME_COMPUTE_CAPABILITY", (10, 9), _NEWEST),
)  # fmt: skip
ProfilingVerbosity = _enum("ProfilingVerbosity", "LAYER_NAMES_ONLY", "NONE", "DETAILED")
LayerInformationFormat = _enum("LayerInformationFormat", "ONELINE", "JSON")
LayerType = _enum(
    "LayerType", "CONVOLUTION", ("CAST", _86, _NEWEST), "DECONVOLUTION", "MATRIX_MULTIPLY",
    "CONSTANT", "QUANTIZE", "DEQUANTIZE", "ELEMENTWISE", "IDENTITY", "NMS", "PLUGIN_V2", "SHAPE",
    "SHUFFLE",
)  # fmt: skip
MemoryPoolType = _enum("MemoryPoolType", "WORKSPACE", "DLA_MANAGED_SRAM")
TacticSource = _enum(
    "TacticSource", ("CUBLAS", _8, _LAST_10), ("CUBLAS_LT", _8, _LAST_10), ("CUDNN", _8, _LAST_10),
    "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS",
)  # fmt: skip

_TYPES = {
    # as the networks' types are called in ONNX
    "FLOAT": ("FLOAT", np.dtype(np.float32)),
    "FLOAT16": ("HALF", np.dtype(np.float16)),
    "INT8": ("INT8", np.dtype(np.int8)),
    "INT32": ("INT32", np.dtype(np.int32)),
    "INT64": ("INT64" if _release >= _10 else "INT32", np.dtype(np.int64)),
    "UINT8": ("UINT8", np.dtype(np.uint8)),
    "BOOL": ("BOOL", np.dtype(np.bool_)),
    "BFLOAT16": ("BF16" if _release >= _10 else "FLOAT", np.dtype(np.uint16)),
    "FLOAT8E4M3FN": ("FP8" if _release >= _86 else "INT8", np.dtype(np.uint8)),
}
_STORED = {
    "FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32,
    "INT64": np.int64, "UINT8": np.uint8, "BOOL": np.bool_, "BF16": np.uint16, "FP8": np.uint8,
}  # fmt: skip


class _Dims:
    """Not a tuple, but nearly one."""

    def __init__(self, sizes: Any) -> None:
        self._sizes = tuple(sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, index: int) -> int:
        return self._sizes[index]

    def __repr__(self) -> str:
        return str(self._sizes)


Dims = _Dims


class ILogger:
    Severity = _enum("Severity", "INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING

    def __init__(self) -> None:
        self._constructed = True


class IOutputAllocator:
    def __init__(self) -> None:
        self._constructed = True


class _Tracked:
    """One of TensorRT's objects: its destructor frees GPU memory, so it needs the context."""

    def __init__(self, memory: int = 0) -> None:
        self._kind = type(self).__name__
        self._memory = memory
        MACHINE.objects.append(self._kind)
        MACHINE.reserved += memory

    def __del__(self) -> None:
        if not hasattr(self, "_kind"):
            return
        MACHINE.objects.remove(self._kind)
        MACHINE.reserved -= self._memory
        if not MACHINE.stack or not MACHINE.stack[-1].retained:
            MACHINE.complaints.append(f"{self._kind} was destroyed without a context")


def _require_logger(logger: Any) -> Any:
    if not isinstance(logger, ILogger) or not getattr(logger, "_constructed", False):
        raise TypeError("incompatible constructor arguments: no ILogger")
    return logger


class Runtime(_Tracked):
    def __init__(self, logger: Any) -> None:
        self.logger = _require_logger(logger)
        self.DLA_core = -1
        self.num_DLA_cores = 2 if MACHINE.integrated else 0
        if not MACHINE.stack or MACHINE.refuses("Runtime"):
            self._error("CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        super().__init__()

    def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
        injected = MACHINE.faults().get("load")
        if injected or MACHINE.refuses("deserialize_cuda_engine"):
            return self._error(injected or "refused")
        try:
            header, model = read_plan(bytes(serialized_engine))
            network = Network(model)
        except Exception:
            return self._error(
                "1: [runtime.cpp::parsePlan::314] Error Code 1: Serialization (Serialization "
                "assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)"
            )
        if header.get("host_code") and not self.engine_host_code_allowed:
            return self._error("engine_host_code_allowed must be set for this plan")
        if header["version"] != __version__:
            return self._error(
                "6: The engine plan file is not compatible with this version of TensorRT, "
                f"expecting library version {__version__} got {header['version']}, please rebuild."
            )
        if header["gpu"] != MACHINE.name:
            return self._error(
                "6: The engine plan file is generated on an incompatible device, expecting "
                f"{MACHINE.name} got {header['gpu']}, please rebuild."
            )
        if MACHINE.used_memory + header.get("weights", 1 << 20) > MACHINE.total_memory:
            return self._error(
                "1: [cudaResources.cpp::ScopedCudaStream::37] Error Code 1: Cuda Runtime "
                "(out of memory)"
            )
        return ICudaEngine(self, header, network)

    def get_plugin_registry(self) -> _PluginRegistry:
        return _PluginRegistry(self)

    if _release >= _86:
        engine_host_code_allowed = False

    def _error(self, text: str) -> None:
        self.logger.log(ILogger.Severity.ERROR, text)


if _release < _86:
    del Runtime.get_plugin_registry


class _PluginRegistry:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def load_library(self, plugin_path: str) -> object | None:
        if MACHINE.refuses("load_library"):
            return self._runtime._error("a plugin of this name is registered already")
        MACHINE.plugin_libraries.append(plugin_path)
        return object()


class ICudaEngine(_Tracked):
    def __init__(self, runtime: Runtime, header: dict[str, Any], network: Network) -> None:
        super().__init__(header.get("weights", 1 << 20))
        self._runtime, self._header, self._network = runtime, header, network
        self.num_io_tensors = len(network.inputs) + len(network.outputs)
        self.num_optimization_profiles = len(header["profiles"])
        self.num_layers = network.num_nodes
        self.refittable = False
        setattr(
            self,
            "device_memory_size_v2" if _release >= (10, 1) else "device_memory_size",
            header.get("device_memory", 1 << 20),
        )

    def _tensor(self, name: str) -> Any:
        return {**self._network.inputs, **self._network.outputs}[name]

    def _says(self, what: str, name: str, default: str) -> str:
        return self._header.get(what, {}).get(name, default)

    def get_tensor_name(self, index: int) -> str:
        return [*self._network.inputs, *self._network.outputs][index]

    def get_tensor_mode(self, name: str) -> Any:
        return TensorIOMode.INPUT if name in self._network.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        kind = self._says("types", name, _TYPES[self._tensor(name).kind][0])
        return getattr(DataType, kind)

    def get_tensor_shape(self, name: str) -> _Dims:
        return _Dims(self._tensor(name).shape)

    def get_tensor_format(self, name: str) -> Any:
        return getattr(TensorFormat, self._says("formats", name, "LINEAR"))

    def get_tensor_format_desc(self, name: str) -> str:
        return f"{self.get_tensor_format(name).name} of the fake"

    def get_tensor_location(self, name: str) -> Any:
        return getattr(TensorLocation, self._says("locations", name, "DEVICE"))

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[_Dims]:
        return [_Dims(shape) for shape in self._header["profiles"][profile_index][name]]

    def _has_open_outputs(self) -> bool:
        shapes = {name: tuple(tensor.shape) for name, tensor in self._network.inputs.items()}
        return any(-1 in self._network.output_shape(name, shapes) for name in self._network.outputs)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)

    def create_execution_context(self) -> IExecutionContext | None:
        needed = self._header.get("device_memory", 1 << 20)
        if MACHINE.used_memory + needed > MACHINE.total_memory:
            self._runtime._error("2: [defaultAllocator.cpp::allocate] Error Code 1: out of memory")
            return None
        if not self._header.get("profiled", True) and self._has_open_outputs():
            # Seen on 8.6.0; 8.5.3 does not even build such a plan.
            return self._runtime._error(
                "1: Unexpected exception vector<bool>::_M_range_check: __n (which is 0) >= "
                "this->size() (which is 0)"
            )
        if MACHINE.refuses("create_execution_context"):
            return self._runtime._error("refused")
        return IExecutionContext(self, needed)


class EngineInspector(_Tracked):
    def __init__(self, engine: ICudaEngine) -> None:
        super().__init__()
        header = engine._header
        self._layers = fake_layers.information(
            [fake_layers.EngineLayer(**layer) for layer in header.get("layers", [])],
            bool(header.get("detailed")),
            _release,
        )
        self._bindings = [*engine._network.inputs, *engine._network.outputs]

    def get_engine_information(self, format: Any) -> str:  # noqa: A002
        assert format is LayerInformationFormat.JSON
        return fake_layers.as_text({"Layers": self._layers, "Bindings": self._bindings})

    def get_layer_information(self, layer_index: int, format: Any) -> str:  # noqa: A002
        assert format is LayerInformationFormat.JSON
        return fake_layers.as_text(self._layers[layer_index])


class IExecutionContext(_Tracked):
    def __init__(self, engine: ICudaEngine, memory: int) -> None:
        super().__init__(memory)
        self.engine = engine
        self._context = MACHINE.stack[-1]
        self.active_optimization_profile = 0
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, IOutputAllocator] = {}
        self._settled = False
        self._order: list[object] = []
        self._forget_shapes()

    def _forget_shapes(self) -> None:
        inputs = self.engine._network.inputs
        self._shapes = {name: tuple(tensor.shape) for name, tensor in inputs.items()}

    def _refuse(self, text: str) -> bool:
        self.engine._runtime._error(text)
        return False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        MACHINE.stream(stream_handle, "set_optimization_profile_async")
        if not 0 <= profile_index < self.engine.num_optimization_profiles:
            return self._refuse(f"3: profile {profile_index} does not exist")
        self.active_optimization_profile = profile_index
        self._settled = False
        self._forget_shapes()
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        if name not in self._shapes:
            return self._refuse(f"3: {name} is no input")
        if MACHINE.refuses("set_input_shape"):
            return self._refuse("refused")
        ranges = self.engine._header["profiles"][self.active_optimization_profile].get(name)
        fixed = self.engine._network.inputs[name].shape
        low, _, high = ranges or (fixed, fixed, fixed)
        if len(shape) != len(low) or not all(a <= n <= b for a, n, b in zip(low, shape, high)):
            return self._refuse(
                f"3: [executionContext.cpp::validateInputBindings] Parameter check failed: "
                f"{name} {tuple(shape)} lies outside profile {self.active_optimization_profile}"
            )
        self._settled = False
        self._shapes[name] = tuple(shape)
        return True

    @property
    def all_binding_shapes_specified(self) -> bool:
        return all(-1 not in shape for shape in self._shapes.values())

    def get_tensor_shape(self, name: str) -> _Dims:
        if name in self._shapes:
            return _Dims(self._shapes[name])
        return _Dims(self.engine._network.output_shape(name, self._shapes))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in {**self.engine._network.inputs, **self.engine._network.outputs}:
            return self._refuse(f"3: there is no tensor {name}")
        if MACHINE.refuses("set_tensor_address"):
            return self._refuse("refused")
        self._addresses[name] = memory
        return True

    def set_output_allocator(self, name: str, output_allocator: IOutputAllocator) -> bool:
        if name not in self.engine._network.outputs or MACHINE.refuses("set_output_allocator"):
            return self._refuse(f"3: {name} is no output")
        if not isinstance(output_allocator, IOutputAllocator) or not output_allocator._constructed:
            raise TypeError("incompatible function arguments")
        self._allocators[name] = output_allocator
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        stream = MACHINE.stream(stream_handle, "execute_async_v3")
        if stream.context is not self._context:
            return self._refuse("1: Cuda Runtime (invalid device context)")
        if not self.all_binding_shapes_specified:
            return self._refuse("3: shapes of inputs are missing")
        for name in {**self.engine._network.inputs, **self.engine._network.outputs}:
            if name not in self._addresses and name not in self._allocators:
                return self._refuse(f"3: no address was set for tensor {name}")
        if MACHINE.refuses("execute_async_v3"):
            return self._refuse("1: Cuda Runtime (unspecified launch failure)")
        if stream.recording is not None:
            if not self._settled or not MACHINE.records_graphs or self._allocators:
                stream.spoilt = True
                return self._refuse("1: Cuda Runtime (operation not permitted when capturing)")
            self._queue(stream, dict(self._addresses), {})
            return True
        faults = MACHINE.count_execution()
        if faults.get("break"):
            MACHINE.broken = True
        if faults.get("fail") or MACHINE.broken:
            return self._refuse("1: [runner.cpp::executeMyelinGraph] Cuda Runtime (injected)")
        self._settled = True
        addresses = dict(self._addresses)
        results: dict[str, np.ndarray] = {}
        if self._allocators:
            # Shapes of outputs that depend on the data are known when this call returns.
            stream.flush()
            results = self._compute(addresses, self._shapes)
            for name, allocator in self._allocators.items():
                stored = self._stored(name, results[name])
                address = self._reallocate(allocator, name, stored.nbytes)
                if not address and stored.nbytes:
                    return self._refuse(f"2: [outputAllocator] no memory for {name}")
                addresses[name] = address
                if MACHINE.tells_shapes:
                    allocator.notify_shape(name, _Dims(results[name].shape))
        self._queue(stream, addresses, results, spoil=bool(faults.get("nan")))
        return True

    @staticmethod
    def _reallocate(allocator: IOutputAllocator, name: str, size: int) -> int:
        if not size:
            return 0
        if _release >= _10 and hasattr(allocator, "reallocate_output_async"):
            return allocator.reallocate_output_async(name, 0, size, 256, 0)
        return allocator.reallocate_output(name, 0, size, 256)

    def _queue(
        self,
        stream: simulated_gpu.Stream,
        addresses: dict[str, int],
        results: dict[str, np.ndarray],
        spoil: bool = False,
    ) -> None:
        """Put the inference on the stream; its outputs are rubbish until it is reached."""
        for name in self.engine._network.outputs:
            block = MACHINE.blocks.get(addresses[name])
            if block is not None and not results:
                block.data[:] = POISON
        # Those of the next inference may be set before this one is reached.
        shapes = dict(self._shapes)

        def work() -> None:
            for name, result in (results or self._compute(addresses, shapes)).items():
                if (spoil or MACHINE.faults().get("nan_at", 1 << 60) <= MACHINE.executions) and (
                    result.dtype.kind == "f"
                ):
                    result = np.full_like(result, np.nan)
                stored = self._stored(name, result)
                if stored.nbytes:
                    target = MACHINE.bytes_at(addresses[name], stored.nbytes, "the inference")
                    target[:] = np.ascontiguousarray(stored).reshape(-1).view(np.uint8)

        inference = simulated_gpu.Inference(MACHINE, self._order, work)
        stream.put(inference.launched() if stream.recording is None else inference)

    def _compute(
        self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]]
    ) -> dict[str, np.ndarray]:
        """Run the network on what lies in memory now."""
        inputs = {}
        for name, shape in shapes.items():
            kind = self.engine.get_tensor_dtype(name).name
            dtype = np.dtype(_STORED[kind])
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            stored = MACHINE.bytes_at(addresses[name], size, "the inference").view(dtype)
            if kind == "BF16":
                stored = (stored.astype(np.uint32) << 16).view(np.float32)
            wanted = _TYPES[self.engine._network.inputs[name].kind][1]
            inputs[name] = stored.astype(wanted).reshape(shape)
        results = self.engine._network.run(inputs)
        return {name: self._as_built(result) for name, result in results.items()}

    def _as_built(self, result: np.ndarray) -> np.ndarray:
        """Return an output as an engine of that precision, and of that quality, gives it."""
        if result.dtype.kind != "f" or not result.size:
            return result
        header = self.engine._header
        if header.get("half"):
            result = result.astype(np.float16).astype(result.dtype)
        if noise := header.get("noise"):
            random = np.random.default_rng(0).standard_normal(result.shape)
            result = (result + noise * np.abs(result).max() * random).astype(result.dtype)
        return result

    def _stored(self, name: str, result: np.ndarray) -> np.ndarray:
        kind = self.engine.get_tensor_dtype(name).name
        if kind == "BF16":
            return (np.ascontiguousarray(result, np.float32).view(np.uint32) >> 16).astype(
                np.uint16
            )
        return result.astype(_STORED[kind])


# Builder


class ITensor:
    def __init__(self, name: str, shape: Any, dtype: Any) -> None:
        self.name, self.shape, self.dtype = name, _Dims(shape), dtype


class ILayer:
    def __init__(self, layer: fake_layers.NetworkLayer) -> None:
        self._layer = layer
        self.name = layer.name
        # 8.5 makes an identity of a cast.
        self.type = getattr(LayerType, layer.kind, LayerType.IDENTITY)
        self.num_inputs, self.num_outputs = len(layer.inputs), len(layer.outputs)

    def get_input(self, index: int) -> ITensor | None:
        name = self._layer.inputs[index]
        return ITensor(name, (), None) if name else None

    def get_output(self, index: int) -> ITensor | None:
        kind = _TYPES.get(self._layer.types[index], ("FLOAT",))[0]
        return ITensor(self._layer.outputs[index], (), getattr(DataType, kind))


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._model: bytes | None = None
        self._network: Network | None = None
        self._layers: list[fake_layers.NetworkLayer] = []
        self._typed = _release >= _11
        if _10 <= _release < _11:
            self._typed = bool(flags >> int(NetworkDefinitionCreationFlag.STRONGLY_TYPED) & 1)

    @property
    def num_inputs(self) -> int:
        return len(self._network.inputs) if self._network else 0

    def get_input(self, index: int) -> ITensor:
        assert self._network is not None
        name, tensor = list(self._network.inputs.items())[index]
        return ITensor(name, tensor.shape, getattr(DataType, _TYPES[tensor.kind][0]))

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_layer(self, index: int) -> ILayer:
        return ILayer(self._layers[index])


class ParserError:
    def __init__(self, node: int, name: str, operator: str, text: str) -> None:
        self._node, self._name, self._operator, self._text = node, name, operator, text

    def node(self) -> int:
        return self._node

    def desc(self) -> str:
        return self._text

    if _release >= _10:

        def node_name(self) -> str:
            return self._name

        def node_operator(self) -> str:
            return self._operator


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: Any) -> None:
        self._network, self._logger = network, _require_logger(logger)
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse_from_file(self, model: str) -> bool:
        if _release < _10 and not self._network._flags & 1:
            self._errors = [ParserError(-1, "", "", "only explicit batch networks are supported")]
            return False
        try:
            content = Path(model).read_bytes()
            self._errors = [
                ParserError(node, name, operator, f"No importer registered for op: {operator}")
                for node, name, operator in fake_network.unknown_operators(content, _plugins)
            ]
            if not self._errors:
                self._network._model, self._network._network = content, Network(content)
                self._network._layers = fake_layers.layers_of(content)
        except Exception as error:
            self._errors = [ParserError(-1, "", "", f"Failed to parse the ONNX model: {error}")]
        return not self._errors


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        if not all(a <= b <= c for a, b, c in zip(min, opt, max)):
            raise RuntimeError("Shape provided for opt is inconsistent with other shapes.")
        self._shapes[input] = [list(min), list(opt), list(max)]


IHostMemory = memoryview


class ITimingCache:
    _MAGIC = b"faketiming "

    def __init__(self, content: bytes = b"") -> None:
        """Raise a ValueError for what another version wrote."""
        self._gpu, self._times = MACHINE.name, {}
        if content:
            if not content.startswith(self._MAGIC):
                raise ValueError("magicTagRead == kMAGIC_TAG failed. Magic tag does not match")
            document = json.loads(content.removeprefix(self._MAGIC))
            if document["version"] != __version__:
                raise ValueError(f"version {document['version']} does not match {__version__}")
            self._gpu, self._times = document["gpu"], document["times"]

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if input_cache._gpu != self._gpu and not ignore_mismatch:
            return False
        self._times = {**input_cache._times, **self._times}
        return True

    def serialize(self) -> Any:
        document = {"version": __version__, "gpu": self._gpu, "times": self._times}
        return IHostMemory(self._MAGIC + json.dumps(document).encode())


if _release >= _10:

    class IProgressMonitor:
        def __init__(self) -> None:
            self._constructed = True


class IBuilderConfig:
    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._flags: set[str] = {"TF32"}  # as the real one
        self._pools: dict[str, int] = {}
        self._profiles: list[dict[str, list[list[int]]]] = []
        self._sources: int | None = None
        self._cache: ITimingCache | None = None
        self.avg_timing_iterations = 1
        self.default_device_type, self.DLA_core = DeviceType.GPU, -1
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        if _release >= _86:
            self.builder_optimization_level = 3
            self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
            self.max_aux_streams = -1
        if _release >= _10:
            self.progress_monitor: Any = None

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[pool.name] = pool_size

    def set_tactic_sources(self, tactic_sources: int) -> bool:
        self._sources = tactic_sources
        return True

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile._shapes)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        try:
            return ITimingCache(bytes(serialized_timing_cache))
        except ValueError as error:
            self._logger.log(ILogger.Severity.ERROR, f"1: Serialization assertion {error}")
            self._logger.log(ILogger.Severity.ERROR, "4: The timing cache will not be used!")
            return None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache._gpu != MACHINE.name and not ignore_mismatch:
            self._logger.log(ILogger.Severity.ERROR, "4: The timing cache is of another device")
            return False
        self._cache = cache
        return True


class Builder:
    def __init__(self, logger: Any) -> None:
        self.logger = _require_logger(logger)
        self.num_DLA_cores = 2 if MACHINE.integrated else 0

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self.logger)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> Any | None:
        assert network._network is not None
        assert network._model is not None
        faults = MACHINE.faults()
        is_open = any(-1 in tensor.shape for tensor in network._network.inputs.values())
        if is_open and not config._profiles:
            return self._fail(
                "4: [network.cpp::validate] Network has dynamic or shape inputs, but no "
                "optimization profile has been defined."
            )
        if config._pools.get("WORKSPACE", 1 << 30) < 1 << 20:
            return self._fail("10: Could not find any implementation")
        if node := faults.get("no_implementation"):
            return self._fail(
                "10: [optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error (Could not "
                f"find any implementation for node {node}.)"
            )
        ignored = [name for name in ("FP16", "INT8") if faults.get(f"ignore_{name.lower()}")]
        layers = fake_layers.built(network._layers, config._flags, network._typed, ignored)
        self._skip_tactics(config, faults)
        for warning in faults.get("build_warnings", []):
            self.logger.log(ILogger.Severity.WARNING, warning)
        pause = faults.get("build_seconds", 0.0) / max(1, len(layers))
        if not self._time(layers, config, pause):
            return self._fail("2: [builder.cpp] Error Code 2: the build was cancelled")
        return IHostMemory(
            make_plan(
                network._model,
                __version__,
                MACHINE.name,
                config._profiles,
                profiled=bool(config._profiles),
                flags=sorted(config._flags),
                sources=config._sources,
                level=getattr(config, "builder_optimization_level", None),
                streams=getattr(config, "max_aux_streams", None),
                hardware=getattr(config, "hardware_compatibility_level", DeviceType.GPU).name,
                iterations=config.avg_timing_iterations,
                device=f"{config.default_device_type.name} {config.DLA_core}",
                typed=network._typed,
                detailed=config.profiling_verbosity is ProfilingVerbosity.DETAILED,
                layers=[asdict(layer) for layer in layers],
                half=any(layer.precision == "FP16" for layer in layers),
                noise=faults.get("plan_noise"),
            )
        )

    def _fail(self, text: str) -> None:
        self.logger.log(ILogger.Severity.ERROR, text)

    def _skip_tactics(self, config: IBuilderConfig, faults: dict[str, Any]) -> None:
        """Leave kernels out that need more memory than there is; say so as this version does."""
        needed = faults.get("tactics_need_mb", 0)
        available = config._pools.get("WORKSPACE", 1 << 30) >> 20
        if needed <= available:
            return
        severity = ILogger.Severity
        self.logger.log(
            severity.INFO,
            "Some tactics do not have sufficient workspace memory to run. Increasing workspace "
            "size will enable more tactics, please check verbose output for requested sizes.",
        )
        for tactic in range(3):
            self.logger.log(
                severity.WARNING,
                f"Tactic Device request: {needed}MB Available: {available}MB. Device memory is "
                "insufficient to use tactic.",
            )
            size = f"{needed << 20}" if _release >= _10 else f"{needed}"
            state = "UNSUPPORTED_STATE: " if _release >= _10 else ""
            self.logger.log(
                severity.WARNING,
                f"{state}Skipping tactic {tactic} due to insufficient memory on requested size of "
                f"{size} detected for tactic 0x{tactic:016x}.",
            )

    def _time(
        self, layers: list[fake_layers.EngineLayer], config: IBuilderConfig, pause: float
    ) -> bool:
        """Time the kernels of all layers; say whether nobody stopped it."""
        monitor = getattr(config, "progress_monitor", None)
        steps = _told(monitor, layers) if monitor is not None else _untold(layers)
        for layer, goes_on in steps:
            if not goes_on:
                return False
            if layer is not None:
                time.sleep(pause)
                if config._cache is not None:
                    config._cache._times[layer.name] = config.avg_timing_iterations
        return True


_Steps = Iterator[tuple["fake_layers.EngineLayer | None", bool]]


def _untold(layers: list[fake_layers.EngineLayer]) -> _Steps:
    yield from ((layer, True) for layer in layers)


def _told(monitor: Any, layers: list[fake_layers.EngineLayer]) -> _Steps:
    """Go through a build's nested phases, as 10.3 has them, and tell the monitor."""
    if not getattr(monitor, "_constructed", False):
        raise TypeError("incompatible function arguments: no IProgressMonitor")
    step: Callable[[str, int], bool] = monitor.step_complete
    monitor.phase_start("Building Engine", None, 3)
    yield None, step("Building Engine", 0)
    monitor.phase_start("Timing graph nodes", "Building Engine", len(layers))
    for index, layer in enumerate(layers):
        inner = f"Finding fastest tactic for {layer.name}"
        monitor.phase_start(inner, "Timing graph nodes", 2)
        yield layer, step(inner, 0)
        yield None, step(inner, 1)
        monitor.phase_finish(inner)
        yield None, step("Timing graph nodes", index)
    monitor.phase_finish("Timing graph nodes")
    yield None, step("Building Engine", 1)
    yield None, step("Building Engine", 2)
    monitor.phase_finish("Building Engine")


_plugins: set[str] = set()


def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
    _require_logger(logger)
    if MACHINE.refuses("init_libnvinfer_plugins"):
        logger.log(ILogger.Severity.ERROR, "refused")
        return False
    _plugins.update(fake_layers.PLUGINS)
    return True
