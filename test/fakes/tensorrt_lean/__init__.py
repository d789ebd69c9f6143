"""A fake of the lean runtime: what runs plans, without builder, parser and plugins."""

from tensorrt import (
    DataType,
    Dims,
    ICudaEngine,
    IExecutionContext,
    ILogger,
    IOutputAllocator,
    Runtime,
    TensorFormat,
    TensorIOMode,
    TensorLocation,
    __version__,
)

__all__ = [
    "DataType",
    "Dims",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "IOutputAllocator",
    "Runtime",
    "TensorFormat",
    "TensorIOMode",
    "TensorLocation",
    "__version__",
]
