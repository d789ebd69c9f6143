"""The inputs, outputs and profiles of a plan, as its engine tells them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.tensorrt.dtypes import Storage, storage_table
from jetson_detect.core.backends.tensorrt.profiles import Profile, Shape, ShapeRange
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class PlanTensor:
    """One input or output."""

    name: str
    is_input: bool
    shape: Shape
    """-1 for a dimension that the network leaves open."""
    storage: Storage

    @property
    def is_open(self) -> bool:
        """Whether the network leaves a dimension open."""
        return -1 in self.shape


def read_tensors(
    library: TensorrtLibrary, engine: trt.ICudaEngine, path: Path
) -> tuple[PlanTensor, ...]:
    """Return all inputs and outputs, in the plan's order.

    Raises
    ------
    BackendError
        For a tensor that cannot be given or taken as a NumPy array on its way.

    """
    trt = library.trt
    table = storage_table(trt, library.features)
    tensors = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise BackendError(
                f"{path}: tensor '{name}' holds a shape and lies in the CPU's memory, which is not "
                "supported; export the model with constant sizes instead"
            )
        if engine.get_tensor_format(name) != trt.TensorFormat.LINEAR:
            raise BackendError(
                f"{path}: tensor '{name}' has the format '{engine.get_tensor_format_desc(name)}'; "
                "only linear ones are supported: build the plan without setting its I/O formats "
                "(trtexec: no --inputIOFormats and --outputIOFormats)"
            )
        dtype = engine.get_tensor_dtype(name)
        if dtype not in table:
            known = ", ".join(kind.name for kind in table)
            raise BackendError(
                f"{path}: tensor '{name}' has the type {dtype.name}, NumPy has none like it: build "
                f"the plan with one of {known} there"
            )
        tensors.append(
            PlanTensor(
                name=name,
                is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                shape=_sizes(engine.get_tensor_shape(name)),
                storage=table[dtype],
            )
        )
    return tuple(tensors)


def read_profiles(engine: trt.ICudaEngine, tensors: tuple[PlanTensor, ...]) -> tuple[Profile, ...]:
    """Return all profiles, by index; without ranges where no input is open."""
    names = [tensor.name for tensor in tensors if tensor.is_input and tensor.is_open]
    return tuple(
        Profile(
            index,
            {
                name: ShapeRange(*map(_sizes, engine.get_tensor_profile_shape(name, index)))
                for name in names
            },
        )
        for index in range(engine.num_optimization_profiles)
    )


def _sizes(shape: trt.Dims) -> Shape:
    return tuple(int(size) for size in shape)
