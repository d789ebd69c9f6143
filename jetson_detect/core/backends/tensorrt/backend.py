"""TensorRT plans behind the backend protocol."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    BackendDescription,
    BackendError,
    BackendOptions,
    TensorInfo,
)
from jetson_detect.core.backends.tensorrt.cuda_graph import CudaGraph
from jetson_detect.core.backends.tensorrt.dtypes import bfloat16_to_float32, float32_to_bfloat16
from jetson_detect.core.backends.tensorrt.gpu import in_megabytes
from jetson_detect.core.backends.tensorrt.output_allocator import GrowingOutputs
from jetson_detect.core.backends.tensorrt.plan_tensors import (
    PlanTensor,
    read_profiles,
    read_tensors,
)
from jetson_detect.core.backends.tensorrt.profiles import (
    Profile,
    Shape,
    as_text,
    choose_profile,
    fixed_sizes,
)
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.backends.tensorrt.tensor_memory import TensorMemory
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import ModelFile
from jetson_detect.core.tensorrt_library.access import open_library
from jetson_detect.core.tensorrt_library.driver import CudaDriverError

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(eq=False)
class _Binding:
    """A tensor and its memory; the arrays are there once shapes are known."""

    tensor: PlanTensor
    memory: TensorMemory
    stored: NDArray[Any]
    """The host's side of the memory."""
    real: NDArray[Any]
    """What callers give or get: ``stored`` itself, or its conversion."""

    def fit(self, shape: Shape) -> None:
        """Make the arrays for a shape; the memory has to be large enough already."""
        storage = self.tensor.storage
        self.stored = self.memory.array(shape, storage.stored)
        if not storage.converted:
            self.real = self.stored
        elif self.real.shape != shape:
            self.real = np.empty(shape, storage.real)

    def fill(self, array: NDArray[Any]) -> None:
        """Take an input over; nothing to do if the caller filled our own memory."""
        if self.tensor.storage.converted:
            float32_to_bfloat16(array, self.stored)
        elif array is not self.stored:
            np.copyto(self.stored, array)


class TensorrtBackend(Closing):
    """A plan file on one GPU.

    Where the plan allows one shape only, the constructor infers once and records the inference as a
    CUDA graph; else shapes are those of the arrays that are given, and memory grows when they do.
    """

    def __init__(self, file: ModelFile, options: BackendOptions = BackendOptions()) -> None:
        """Load a plan; the calling thread is the one that has to run and close it.

        Raises
        ------
        BackendUnavailableError
            If TensorRT, pycuda, the driver or the GPU are missing.
        BackendError
            If the plan cannot be loaded or run.

        """
        self._file = file
        self._library = library = open_library(options.tensorrt.runtime)
        self._session = session = Session(library, options.tensorrt, file.path)
        # A backend that was never closed is, at the latest when the interpreter ends: afterwards
        # the destructors of TensorRT would find no context.
        self._finalizer = weakref.finalize(self, session.close_if_mine)
        self._mark = library.errors.mark()
        self._graph: CudaGraph | None = None
        self._shapes: dict[str, Shape] | None = None
        self._outputs: dict[str, NDArray[Any]] = {}
        self._growing: tuple[_Binding, ...] = ()
        with session.closed_on_failure(), session.in_context("cannot be loaded"):
            tensors = read_tensors(library, session.engine, file.path)
            self._profiles = read_profiles(session.engine, tensors)
            bindings = [
                _Binding(tensor, session.memory(tensor.name), np.empty(0), np.empty(0))
                for tensor in tensors
            ]
            self._input_bindings = {b.tensor.name: b for b in bindings if b.tensor.is_input}
            self._output_bindings = {b.tensor.name: b for b in bindings if not b.tensor.is_input}
            self._allocator = GrowingOutputs(
                library.trt,
                library.features,
                {name: binding.memory for name, binding in self._output_bindings.items()},
            )
            self._input_infos = tuple(
                TensorInfo(
                    tensor.name,
                    fixed_sizes(self._profiles, tensor.name, tensor.shape),
                    tensor.storage.real,
                )
                for tensor in tensors
                if tensor.is_input
            )
            graph = self._prepare(options.tensorrt.cuda_graph)
            self._description = self._describe(graph)

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""
        return self._description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Page-locked arrays of the inputs, where shapes are fixed; gone after :meth:`close`."""
        if self._shapes is None or not self._finalizer.alive or not self._has_one_shape:
            return {}
        return {
            name: binding.stored
            for name, binding in self._input_bindings.items()
            if not binding.tensor.storage.converted
        }

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`jetson_detect.core.backends.base.Backend.run`.

        Outputs lie in page-locked memory that the next run writes over.
        """
        if not self._finalizer.alive:
            raise BackendError(f"{self._file.path}: the tensorrt backend was closed")
        for name, info in zip(self._input_bindings, self._input_infos):
            self._check(name, info, inputs)
        self._mark = self._library.errors.mark()
        with self._session.in_context("inference failed"):
            shapes = {name: inputs[name].shape for name in self._input_bindings}
            if shapes != self._shapes:
                self._fit(shapes)
            for name, binding in self._input_bindings.items():
                binding.fill(inputs[name])
            if self._graph is not None:
                self._graph.launch()
            else:
                self._enqueue()
            self._finish()
        return self._outputs

    def close(self) -> None:
        """Give everything back; may be called twice, by the thread that loaded the plan only."""
        self._session.close()
        self._finalizer.detach()
        self._graph = None
        self._outputs = {}

    @property
    def _has_one_shape(self) -> bool:
        return all(None not in info.shape for info in self._input_infos)

    def _check(self, name: str, info: TensorInfo, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Refuse what is not given or of another type."""
        if name not in inputs:
            raise BackendError(
                f"{self._file.path}: input '{name}' was not given; the plan takes "
                f"{', '.join(self._input_bindings)}"
            )
        if inputs[name].dtype != info.dtype:
            raise BackendError(
                f"{self._file.path}: input '{name}' takes {info.dtype}, "
                f"not {inputs[name].dtype}: convert it"
            )

    def _prepare(self, cuda_graph: bool) -> str:
        """Infer once, if shapes are known, and record it; return whether there is a graph."""
        if not self._has_one_shape:
            return "off (dynamic shapes)"
        self._fit({info.name: tuple(n or 0 for n in info.shape) for info in self._input_infos})
        for binding in self._input_bindings.values():
            binding.stored.fill(0)
        # The first inference initialises lazily, which cannot be recorded.
        self._enqueue()
        self._finish()
        if not cuda_graph:
            return "off (tensorrt.cuda_graph)"
        if self._growing:
            return "off (shapes of outputs depend on the data)"
        try:
            graph = self._session.record(self._enqueue)
            graph.launch()
            self._finish()
        except (BackendError, CudaDriverError, self._session.gpu.cuda.Error) as error:
            self._session.settle()
            # A recording that was given up must leave a backend that works.
            self._enqueue()
            self._finish()
            return f"off ({error})"
        self._graph = graph
        return "on"

    def _fit(self, shapes: dict[str, Shape]) -> None:
        """Set the inputs' shapes, and the memory of all tensors."""
        execution: trt.IExecutionContext = self._session.execution
        profile = self._choose_profile(shapes)
        self._shapes = None
        if profile.index != execution.active_optimization_profile:
            self._require(
                execution.set_optimization_profile_async(
                    profile.index, self._session.stream.handle
                ),
                f"profile {profile.index} cannot be activated",
            )
        for name, binding in self._input_bindings.items():
            if binding.tensor.is_open:
                self._require(
                    execution.set_input_shape(name, shapes[name]),
                    f"input '{name}' cannot be {as_text(shapes[name])}",
                )
            self._bind(binding, shapes[name])
        growing = []
        for name, binding in self._output_bindings.items():
            shape = tuple(int(size) for size in execution.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                growing.append(binding)
                self._require(
                    execution.set_output_allocator(name, self._allocator.allocator),
                    f"output '{name}' cannot be given an allocator",
                )
            else:
                self._bind(binding, shape)
        self._growing = tuple(growing)
        self._outputs = {name: b.real for name, b in self._output_bindings.items()}
        self._shapes = shapes

    def _bind(self, binding: _Binding, shape: Shape) -> None:
        """Give a tensor memory for a shape, and TensorRT its address."""
        execution: trt.IExecutionContext = self._session.execution
        name = binding.tensor.name
        size = int(np.prod(shape, dtype=np.int64)) * binding.tensor.storage.stored.itemsize
        binding.memory.reserve(size)
        binding.fit(shape)
        self._require(
            execution.set_tensor_address(name, binding.memory.address),
            f"tensor '{name}' cannot be bound",
        )

    def _choose_profile(self, shapes: Mapping[str, Shape]) -> Profile:
        """Return the profile for some shapes, or say what shapes there are."""
        for name, binding in self._input_bindings.items():
            if not binding.tensor.is_open and shapes[name] != binding.tensor.shape:
                raise BackendError(
                    f"{self._file.path}: input '{name}' takes {as_text(binding.tensor.shape)}, "
                    f"not {as_text(shapes[name])}: correct the input's size in model.yaml"
                )
        execution: trt.IExecutionContext = self._session.execution
        profile = choose_profile(self._profiles, shapes, execution.active_optimization_profile)
        if profile is None:
            given = ", ".join(
                f"{name} {as_text(shapes[name])}"
                for name, binding in self._input_bindings.items()
                if binding.tensor.is_open
            )
            known = "; ".join(f"profile {p.index}: {p}" for p in self._profiles)
            raise BackendError(
                f"{self._file.path}: no profile holds {given}; the plan has {known}: correct the "
                "input's size in model.yaml, or build the plan with a profile for it"
            )
        return profile

    def _enqueue(self) -> None:
        """Queue copies and inference."""
        session, allocator = self._session, self._allocator
        execution: trt.IExecutionContext = session.execution
        for binding in self._input_bindings.values():
            binding.memory.to_device(binding.stored, session.stream)
        allocator.reset()
        if not execution.execute_async_v3(session.stream.handle):
            raise allocator.failure or self._failure("inference failed")
        for binding in self._growing:
            self._grow(binding)
        for binding in self._output_bindings.values():
            binding.memory.to_host(binding.stored, session.stream)

    def _grow(self, binding: _Binding) -> None:
        """Take the shape that an output got in this inference."""
        name = binding.tensor.name
        shape = self._allocator.shapes.get(name)
        if shape is None:
            raise self._failure(f"the shape of output '{name}' was not told")
        binding.memory.reserve(0)  # TensorRT asks for none for an output without elements
        binding.fit(shape)
        self._outputs[name] = binding.real

    def _finish(self) -> None:
        """Wait for the outputs and convert those that NumPy has no type for."""
        self._session.wait()
        for binding in self._output_bindings.values():
            if binding.tensor.storage.converted:
                bfloat16_to_float32(binding.stored, binding.real)

    def _require(self, granted: bool, problem: str) -> None:
        """Raise unless TensorRT says that a call succeeded."""
        if not granted:
            raise self._failure(problem)

    def _failure(self, problem: str) -> BackendError:
        """Make the error for what TensorRT refused, with what it logged in this call."""
        reason = self._library.errors.since(self._mark)
        return BackendError(
            f"{self._file.path}: {problem} ({reason}); build the plan again on this machine if it "
            "keeps failing"
        )

    def _describe(self, graph: str) -> BackendDescription:
        session, gpu = self._session, self._session.gpu
        engine: trt.ICudaEngine = session.engine
        major, minor = gpu.compute_capability
        outputs = []
        for name, binding in self._output_bindings.items():
            known = self._shapes is not None and binding not in self._growing
            shape = binding.stored.shape if known else binding.tensor.shape
            outputs.append(
                TensorInfo(
                    name,
                    tuple(None if size < 0 else int(size) for size in shape),
                    binding.tensor.storage.real,
                )
            )
        details = {
            "memory": gpu.memory_mode.value,
            "device memory": in_megabytes(session.device_memory()),
            "layers": str(engine.num_layers),
            "cuda graph": graph,
        }
        if any(profile.ranges for profile in self._profiles):
            details["profile"] = "; ".join(str(profile) for profile in self._profiles)
        return BackendDescription(
            backend="tensorrt",
            runtime=str(self._library),
            device=f"{gpu.name} (compute capability {major}.{minor})",
            file=self._file,
            inputs=self._input_infos,
            outputs=tuple(outputs),
            details=details,
        )
