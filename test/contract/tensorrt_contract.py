"""TensorRT's facts, what its documentation adds to them, and a walk of the project with both."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from api_facts import Api
from api_use import is_distinctive
from findings import Findings
from source_tree import API_IDENTIFIERS, API_MODULES, ModuleInfo, SourceTree
from source_walk import Walk

from jetson_detect.core.tensorrt_library.features import features_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE_FOLDERS = ("jetson_detect", "scripts", "training")

# The bindings' dumps name the module's functions only; how they are called is in the sources of
# the bindings (github.com/NVIDIA/TensorRT, python/src/infer/pyPlugin.cpp, python/src/parsers).
# nptype is left out on purpose: that of 8.5 raises with NumPy 1.24 and newer.
_FUNCTIONS = {
    "get_builder_plugin_registry": {"(capability) -> IPluginRegistry": "*"},
    "get_nv_onnx_parser_version": {"() -> int": "*"},
    "get_plugin_registry": {"() -> IPluginRegistry": "*"},
    "init_libnvinfer_plugins": {"(logger, namespace) -> bool": "*"},
}

# Looked up by name on the subclass (python/src/infer/pyCore.cpp: PyOutputAllocator and the
# stream readers), so that the class itself need not have them, or has them otherwise.
_CALLBACKS = {
    "IOutputAllocator": {
        "notify_shape": {"(tensor_name, shape) -> None": "*"},
        "reallocate_output": {"(tensor_name, memory, size, alignment) -> int": "*"},
        "reallocate_output_async": {
            "(tensor_name, memory, size, alignment, stream) -> int": "10.0.1.."
        },
    },
    "IStreamReader": {"read": {"(size) -> bytes": "10.0.1..10.16.1.11"}},
    "IStreamReaderV2": {
        "read": {"(num_bytes, stream) -> bytes": "10.7.0.."},
        "seek": {"(offset, where) -> bool": "10.7.0.."},
    },
}

REQUIRED = {
    "ILogger": (("log",),),
    "IOutputAllocator": (("reallocate_output", "reallocate_output_async"), ("notify_shape",)),
    "IProfiler": (("report_layer_time",),),
    "IProgressMonitor": (("phase_start",), ("step_complete",), ("phase_finish",)),
}

# The dumps do not tell the type of a property.
PROPERTY_TYPES = {
    **dict.fromkeys(
        (
            "IBuilderConfig.builder_optimization_level",
            "IBuilderConfig.flags",
            "IBuilderConfig.num_optimization_profiles",
            "ICudaEngine.device_memory_size",
            "ICudaEngine.device_memory_size_v2",
            "ICudaEngine.name",
            "ICudaEngine.num_io_tensors",
            "ICudaEngine.num_layers",
            "ICudaEngine.num_optimization_profiles",
            "IHostMemory.nbytes",
            "ILayer.name",
            "ILayer.num_inputs",
            "ILayer.num_outputs",
            "INetworkDefinition.name",
            "INetworkDefinition.num_inputs",
            "INetworkDefinition.num_layers",
            "INetworkDefinition.num_outputs",
            "ITensor.is_execution_tensor",
            "ITensor.is_network_input",
            "ITensor.is_network_output",
            "ITensor.is_shape_tensor",
            "ITensor.name",
            "OnnxParser.num_errors",
            "Runtime.DLA_core",
            "Runtime.num_DLA_cores",
            "Builder.num_DLA_cores",
        ),
        "int or str",
    ),
    **dict.fromkeys(("bool", "float16", "float32", "int32", "int64", "int8", "uint8"), "DataType"),
    "Builder.logger": "ILogger",
    "ICudaEngine.hardware_compatibility_level": "HardwareCompatibilityLevel",
    "IExecutionContext.engine": "ICudaEngine",
    "IHostMemory.dtype": "DataType",
    "ILayer.type": "LayerType",
    "INetworkDefinition.builder": "Builder",
    "ITensor.dtype": "DataType",
    "ITensor.shape": "Dims",
    "Runtime.logger": "ILogger",
}

TENSORRT = Api.read(HERE / "tensorrt_api.json", functions=_FUNCTIONS, callbacks=_CALLBACKS)
PYCUDA = Api.read(HERE / "pycuda_driver.json")


def walk(tree: SourceTree, version: str, modules: Iterable[str] | None = None) -> Findings:
    """Walk the modules that touch an API as one version of TensorRT."""
    apis = {"trt": TENSORRT.at(version), "cuda": PYCUDA.at(PYCUDA.versions[-1])}
    names = [module.name for module in touching(tree)] if modules is None else modules
    return Walk(tree, apis, features_of(version), PROPERTY_TYPES, REQUIRED).run(names)


@cache
def touching(tree: SourceTree) -> list[ModuleInfo]:
    """Return the modules that name an API, its module, or something only it has."""
    return [module for module in tree.modules.values() if any(_touches(module))]


def _touches(module: ModuleInfo) -> Iterator[bool]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name):
            yield node.id in API_IDENTIFIERS
        elif isinstance(node, ast.arg):
            yield node.arg in API_IDENTIFIERS
        elif isinstance(node, ast.Attribute):
            yield node.attr in API_IDENTIFIERS or (
                node.attr in TENSORRT.member_names and is_distinctive(node.attr, "trt")
            )
        elif isinstance(node, ast.Import):
            yield any(alias.name in API_MODULES for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module in API_MODULES or node.module == "pycuda"
        elif isinstance(node, ast.Call):
            yield any(isinstance(a, ast.Constant) and a.value in API_MODULES for a in node.args)
