"""The project's source against TensorRT 8.5 to 11 and pycuda, without any of them."""

import ast
from collections import defaultdict
from dataclasses import dataclass, fields
from functools import cache

import pytest
from source_tree import API_IDENTIFIERS, SourceTree
from tensorrt_contract import ROOT, SOURCE_FOLDERS, TENSORRT, touching, walk

from jetson_detect.core.tensorrt_library.features import Features, features_of

TREE = SourceTree.read(ROOT, *SOURCE_FOLDERS)
BACKEND = "jetson_detect/core/backends/tensorrt/"
BUILDING = "jetson_detect/core/engines/"
VERSIONS = TENSORRT.versions
BEFORE_10 = [version for version in VERSIONS if version.startswith("8.")]
FROM_10 = [version for version in VERSIONS if not version.startswith("8.")]
FROM_11 = [version for version in VERSIONS if version.startswith("11.")]

GUARDED_NAMES = {
    "explicit_batch_flag": ["NetworkDefinitionCreationFlag.EXPLICIT_BATCH"],
    "fp16_flag": ["BuilderFlag.FP16"],
    "int8_flag": ["BuilderFlag.INT8"],
    "fp8_flag": ["BuilderFlag.FP8"],
    "fp8_tensors": ["DataType.FP8"],
    "bf16_flag": ["BuilderFlag.BF16"],
    "strongly_typed_flag": ["NetworkDefinitionCreationFlag.STRONGLY_TYPED"],
    "strip_plan_flag": ["BuilderFlag.STRIP_PLAN"],
    "version_compatible_flag": [
        "BuilderFlag.VERSION_COMPATIBLE",
        "BuilderFlag.EXCLUDE_LEAN_RUNTIME",
    ],
    "hardware_compatibility": [
        "IBuilderConfig.hardware_compatibility_level",
        "HardwareCompatibilityLevel.AMPERE_PLUS",
    ],
    "same_compute_capability": ["HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"],
    "max_aux_streams": ["IBuilderConfig.max_aux_streams"],
    "progress_monitor": [
        "IBuilderConfig.progress_monitor",
        "IProgressMonitor.phase_start",
        "IProgressMonitor.phase_finish",
        "IProgressMonitor.step_complete",
    ],
    "cast_layers": ["LayerType.CAST"],
    "reallocate_output": ["IOutputAllocator.reallocate_output"],
    "builder_optimization_level": ["IBuilderConfig.builder_optimization_level"],
    "engine_host_code_allowed": ["Runtime.engine_host_code_allowed"],
    "plugin_registry_of_runtime": ["Runtime.get_plugin_registry", "IPluginRegistry.load_library"],
    "int64_tensors": ["DataType.INT64"],
    "bf16_tensors": ["DataType.BF16"],
    "parser_node_name": ["ParserError.node_name", "ParserError.node_operator"],
    "device_memory_size_v2": ["ICudaEngine.device_memory_size_v2"],
}
"""What is there in exactly the versions for which the field is true."""

GUARDED_CALLBACKS = {
    "reallocate_output_async": ("IOutputAllocator", "reallocate_output_async"),
}
"""The same for what TensorRT calls by name, and its classes do not show."""


@cache
def findings(version):
    return walk(TREE, version)


def attributes(module):
    """Split a module's attribute accesses into those of annotations and those that run."""
    annotations = [
        annotation
        for node in ast.walk(module.tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if annotation is not None
    ]
    in_annotations = [
        node
        for annotation in annotations
        for node in ast.walk(annotation)
        if isinstance(node, ast.Attribute)
    ]
    ids = {id(node) for node in in_annotations}
    run = [
        node
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and id(node) not in ids
    ]
    return in_annotations, run


def test_the_walk_covers_the_backend_the_builder_and_the_library():
    packages = {module.name.rpartition(".")[0] for module in touching(TREE)}
    assert {
        "jetson_detect.core.backends.tensorrt",
        "jetson_detect.core.engines",
        "jetson_detect.core.tensorrt_library",
    } <= packages


def test_there_are_facts_about_25_versions_from_8_5_to_11():
    assert len(VERSIONS) == 25
    assert (VERSIONS[0], VERSIONS[-1]) == ("8.5.3.1", "11.4.0.106")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_tensorrt_name_and_call_that_a_version_would_meet_is_in_it(version):
    assert sorted(map(str, findings(version).violations)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_that_looks_like_tensorrt_went_unchecked(version):
    assert sorted(map(str, findings(version).unknown)) == []


def test_every_attribute_in_these_modules_is_met_by_some_version():
    reached = set().union(*(findings(version).reached for version in VERSIONS))
    missed = [
        f"{module.path}:{node.lineno}: {ast.unparse(node)}"
        for module in touching(TREE)
        for node in attributes(module)[1]
        if id(node) not in reached
    ]
    assert missed == []


def test_every_tensorrt_class_in_an_annotation_is_in_some_version():
    unknown = [
        f"{module.path}:{node.lineno}: {ast.unparse(node)}"
        for module in touching(TREE)
        for node in attributes(module)[0]
        if isinstance(node.value, ast.Name)
        and API_IDENTIFIERS.get(node.value.id) == "trt"
        and not TENSORRT.where(None, node.attr)
    ]
    assert unknown == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_inference_needs_was_found_and_not_just_nothing_wrong(version):
    found = {finding.text for finding in findings(version).resolved}
    assert {
        "ICudaEngine.create_execution_context",
        "ICudaEngine.get_tensor_dtype",
        "ICudaEngine.get_tensor_mode",
        "ICudaEngine.num_io_tensors",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_input_shape",
        "IExecutionContext.set_output_allocator",
        "IExecutionContext.set_tensor_address",
        "ILogger.Severity.WARNING",
        "Runtime.deserialize_cuda_engine",
        "Builder.build_serialized_network",
        "Context.push",
        "Stream.synchronize",
        "cuda.memcpy_htod_async",
    } <= found


# ---- the version table


def test_every_field_of_the_version_table_guards_something():
    guards = set().union(*(findings(version).guards for version in VERSIONS))
    assert {field.name for field in fields(Features)} == guards


def test_every_field_of_the_version_table_is_checked_here():
    names = {field.name for field in fields(Features)}
    assert names == GUARDED_NAMES.keys() | GUARDED_CALLBACKS.keys()


@pytest.mark.parametrize(
    ("field", "name"),
    [(field, name) for field, names in GUARDED_NAMES.items() for name in names],
)
def test_a_field_is_true_for_exactly_the_versions_that_have_its_names(field, name):
    class_name, _, member = name.partition(".")
    assert {version: getattr(features_of(version), field) for version in VERSIONS} == {
        version: TENSORRT.at(version).member(class_name, member) is not None for version in VERSIONS
    }


@pytest.mark.parametrize(("field", "callback"), GUARDED_CALLBACKS.items())
def test_a_field_is_true_for_exactly_the_versions_that_call_its_method(field, callback):
    assert {version: getattr(features_of(version), field) for version in VERSIONS} == {
        version: TENSORRT.at(version).callback(*callback) is not None for version in VERSIONS
    }


# ---- the contract is broken on purpose, in memory, and has to fail


@dataclass(frozen=True)
class Break:
    """A line of the real source, what is put in its place, and who has to complain."""

    folder: str
    old: str
    new: str
    complaint: str
    versions: list[str]


BREAKS = {
    "a name that is gone in 10": Break(
        BACKEND,
        "engine.get_tensor_shape(name)",
        "engine.get_binding_shape(name)",
        "ICudaEngine.get_binding_shape is not in TensorRT",
        FROM_10,
    ),
    "a call that is gone in 10": Break(
        BACKEND,
        "execution.execute_async_v3(slot.lane.stream.handle)",
        "execution.execute_async_v2([], slot.lane.stream.handle)",
        "IExecutionContext.execute_async_v2 is not in TensorRT",
        FROM_10,
    ),
    "a property that is gone in 10": Break(
        BUILDING,
        "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)",
        "config.max_workspace_size = options.workspace_mb << 20",
        "IBuilderConfig.max_workspace_size is not in TensorRT",
        FROM_10,
    ),
    "a property that is gone in 11": Break(
        BUILDING,
        "config = builder.create_builder_config()",
        "config = builder.platform_has_fast_fp16 and builder.create_builder_config()",
        "Builder.platform_has_fast_fp16 is not in TensorRT",
        FROM_11,
    ),
    "a flag that is gone in 11, its guard removed": Break(
        BUILDING,
        "if features.fp16_flag:",
        "if True:",
        "BuilderFlag.FP16 is not in TensorRT",
        FROM_11,
    ),
    "a flag that is new in 10, without a guard": Break(
        BUILDING,
        "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED is not in TensorRT",
        BEFORE_10,
    ),
    "a class that is new in 10, without a guard": Break(
        BUILDING,
        "config = builder.create_builder_config()",
        "config = builder.create_builder_config(); print(trt.IProgressMonitor)",
        "trt.IProgressMonitor is not in TensorRT",
        BEFORE_10,
    ),
    "a guard the wrong way round": Break(
        BACKEND,
        "if features.bf16_tensors:",
        "if not features.bf16_tensors:",
        "DataType.BF16 is not in TensorRT",
        BEFORE_10,
    ),
    "another field's guard": Break(
        BACKEND,
        "if features.device_memory_size_v2:",
        "if features.int64_tensors:",
        "ICudaEngine.device_memory_size_v2 is not in TensorRT",
        ["10.0.1"],
    ),
    "a keyword that is none": Break(
        BACKEND,
        "execution.set_input_shape(name, shapes[name])",
        "execution.set_input_shape(name, dims=shapes[name])",
        "IExecutionContext.set_input_shape(…, dims=) does not fit TensorRT",
        list(VERSIONS),
    ),
    "an argument too few": Break(
        BACKEND,
        "engine.get_tensor_name(index)",
        "engine.get_tensor_name()",
        "ICudaEngine.get_tensor_name() does not fit TensorRT",
        list(VERSIONS),
    ),
    "an argument that is new in 10": Break(
        BACKEND,
        "self.engine.create_execution_context()",
        "self.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.STATIC)",
        "ExecutionContextAllocationStrategy is not in TensorRT",
        BEFORE_10,
    ),
    "a misspelt member of an enum": Break(
        BACKEND,
        "trt.TensorFormat.LINEAR",
        "trt.TensorFormat.LINAER",
        "TensorFormat.LINAER is not in TensorRT",
        list(VERSIONS),
    ),
    "a callback that TensorRT does not know": Break(
        BACKEND,
        "def notify_shape(",
        "def notify_shapes(",
        "IOutputAllocator.notify_shapes is not in TensorRT",
        list(VERSIONS),
    ),
    "a callback of the progress monitor that is none": Break(
        BUILDING,
        "def step_complete(",
        "def step_completed(",
        "IProgressMonitor.step_completed is not in TensorRT",
        FROM_10,
    ),
    "a level that is newer than its guard": Break(
        BUILDING,
        "if features.hardware_compatibility and features.same_compute_capability:",
        "if features.hardware_compatibility:",
        "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY is not in TensorRT",
        list(VERSIONS[VERSIONS.index("8.6.0") : VERSIONS.index("10.9.0.34")]),
    ),
    "a call of pycuda's that is none": Break(
        BACKEND,
        "cuda.mem_alloc(size)",
        "cuda.mem_allocate(size)",
        "cuda.mem_allocate is not in pycuda.driver",
        list(VERSIONS),
    ),
}


def broken(folder, old, new):
    """Return the source with one place changed in memory, and where that is."""
    places = [
        (module, module.path.startswith(folder) and (ROOT / module.path).read_text())
        for module in touching(TREE)
    ]
    places = [(module, text) for module, text in places if text and old in text]
    count = sum(text.count(old) for _, text in places)
    assert count == 1, f"{old!r} is {count} times in {folder}: break another line"
    module, text = places[0]
    tree = TREE.with_text(module.path, text.replace(old, new))
    return tree, module, text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize("example", BREAKS.values(), ids=BREAKS.keys())
def test_a_broken_line_is_named_with_the_versions_that_it_breaks(example):
    tree, module, line = broken(example.folder, example.old, example.new)
    complaints = defaultdict(list)
    for version in VERSIONS:
        for finding in walk(tree, version, [module.name]).violations:
            if example.complaint in finding.text:
                complaints[finding.path, finding.line].append(version)
    # The line itself or, where a guard was changed, one that it guards.
    [((path, where), versions)] = complaints.items()
    assert path == module.path
    assert 0 <= where - line <= 2
    assert versions == example.versions


def test_a_parameter_that_loses_its_annotation_is_noticed():
    tree, module, _ = broken(BACKEND, "engine: trt.ICudaEngine, path: Path", "engine, path: Path")
    unknown = walk(tree, VERSIONS[0], [module.name]).unknown
    assert any("engine.get_tensor_name" in finding.text for finding in unknown)


def test_a_line_that_no_version_reaches_is_noticed():
    tree, module, line = broken(
        BACKEND,
        "if features.bf16_tensors:",
        "if features.bf16_tensors and not features.bf16_tensors:",
    )
    reached = set()
    for version in VERSIONS:
        reached |= walk(tree, version, [module.name]).reached
    missed = [node for node in attributes(tree.modules[module.name])[1] if id(node) not in reached]
    assert {node.lineno for node in missed} == {line + 1}
