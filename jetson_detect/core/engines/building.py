"""ONNX file in, TensorRT plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary, open_library

if TYPE_CHECKING:
    import tensorrt as trt

Shape = tuple[int, ...]


class BuildError(RuntimeError):
    """A plan that cannot be built; the message names the file, the option and the remedy."""


@dataclass(frozen=True)
class BuildOptions:
    """How a plan is built."""

    precision: Precision = Precision.FP32
    """fp32 or fp16: the lowest precision that layers may run in."""
    tf32: bool = True
    """Whether FP32 layers may multiply with 10-bit mantissas (TensorFloat-32, Ampere and newer), as
    TensorRT does by default; without it an fp32 plan agrees with its source to the last digits."""
    workspace_mb: int = 1024
    """The most scratch memory that a layer may take, in MB."""
    optimization_level: int | None = None
    """0 (fast build) to 5 (fast plan), from TensorRT 8.6 on; None for TensorRT's default, 3."""
    profiles: Mapping[str, tuple[Shape, Shape, Shape]] = field(default_factory=dict)
    """Smallest, best and largest shape of each input whose shape is open; one profile."""
    tactic_sources: tuple[str, ...] | None = None
    """Names of ``TacticSource``: where kernels may come from; None for TensorRT's default."""


def build_engine(onnx: Path, options: BuildOptions = BuildOptions()) -> bytes:
    """Build a plan for the current GPU; takes seconds to many minutes.

    Parameters
    ----------
    onnx:
        The network; weights in files beside it are found.
    options:
        How.

    Raises
    ------
    BackendUnavailableError
        If TensorRT, the driver or the GPU are missing.
    BuildError
        If the file cannot be read or parsed, TensorRT lacks what an option asks for, or it fails.

    """
    library = open_library()
    if not onnx.is_file():
        raise BuildError(f"{onnx}: no such file")
    # Made in this order and, as local variables, kept alive until the plan is there.
    builder = _make_builder(library)
    network = _make_network(library, builder)
    parser = _parse(library, network, onnx)
    config = _make_config(library, builder, network, options, onnx)
    mark = library.errors.mark()
    plan = builder.build_serialized_network(network, config)
    del parser
    if plan is None:
        raise BuildError(
            f"{onnx}: {library} built no plan ({library.errors.since(mark)}): give it more "
            f"workspace than {options.workspace_mb} MB if memory is what it lacks"
        )
    return bytes(plan)


def _make_builder(library: TensorrtLibrary) -> trt.Builder:
    trt = library.trt
    mark = library.errors.mark()
    try:
        return trt.Builder(library.logger)
    except TypeError as error:
        # What pybind11 makes of a null pointer.
        raise BuildError(
            f"{library} does not start ({library.errors.since(mark)}): see that its version fits "
            f"the driver (CUDA {library.driver.cuda_version})"
        ) from error


def _make_network(library: TensorrtLibrary, builder: trt.Builder) -> trt.INetworkDefinition:
    trt, features = library.trt, library.features
    flags = 0
    if features.explicit_batch_flag:
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    return builder.create_network(flags)


def _parse(library: TensorrtLibrary, network: trt.INetworkDefinition, onnx: Path) -> trt.OnnxParser:
    """Read the file into the network."""
    trt = library.trt
    parser = trt.OnnxParser(network, library.logger)
    # From the file and not from its bytes: weights may lie in other files beside it.
    if not parser.parse_from_file(str(onnx)):
        problems = [
            _describe(library, parser.get_error(index)) for index in range(parser.num_errors)
        ]
        raise BuildError(
            f"{onnx}: {library} cannot parse it: {'; '.join(problems) or 'no reason given'}; "
            "export it with operators and an opset that this version knows"
        )
    return parser


def _describe(library: TensorrtLibrary, error: trt.ParserError) -> str:
    """Write one of the parser's errors, with the node's name where the version tells it."""
    features = library.features
    node = f"node {error.node()}"
    if features.parser_node_name:
        node += f" '{error.node_name()}' ({error.node_operator()})"
    return f"{node}: {error.desc()}"


def _make_config(
    library: TensorrtLibrary,
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    options: BuildOptions,
    onnx: Path,
) -> trt.IBuilderConfig:
    trt = library.trt
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    _set_precision(library, config, options.precision)
    _set_level(library, config, options.optimization_level)
    _set_sources(library, config, options.tactic_sources)
    _add_profile(library, builder, network, config, options.profiles, onnx)
    return config


def _set_precision(
    library: TensorrtLibrary, config: trt.IBuilderConfig, precision: Precision
) -> None:
    if precision is Precision.FP32:
        return
    if precision is not Precision.FP16:
        raise BuildError(f"precision {precision.value} cannot be built: use fp32 or fp16")
    trt, features = library.trt, library.features
    if features.fp16_flag:
        config.set_flag(trt.BuilderFlag.FP16)
    else:
        raise BuildError(
            f"precision fp16: {library} takes the precision from the ONNX file: convert the file "
            "to fp16, and build it with precision fp32"
        )


def _set_level(library: TensorrtLibrary, config: trt.IBuilderConfig, level: int | None) -> None:
    if level is None:
        return
    features = library.features
    if features.builder_optimization_level:
        config.builder_optimization_level = level
    else:
        raise BuildError(f"optimization_level {level}: {library} has none, only 8.6 and newer")


def _set_sources(
    library: TensorrtLibrary, config: trt.IBuilderConfig, names: tuple[str, ...] | None
) -> None:
    if names is None:
        return
    trt = library.trt
    known = trt.TacticSource.__members__
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BuildError(
            f"tactic_sources: {library} has no {', '.join(unknown)}: use some of {', '.join(known)}"
        )
    mark = library.errors.mark()
    if not config.set_tactic_sources(sum(1 << int(known[name]) for name in set(names))):
        raise BuildError(
            f"tactic_sources {', '.join(names)}: {library} refuses them "
            f"({library.errors.since(mark)})"
        )


def _add_profile(
    library: TensorrtLibrary,
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    config: trt.IBuilderConfig,
    profiles: Mapping[str, tuple[Shape, Shape, Shape]],
    onnx: Path,
) -> None:
    """Tell the range of every input whose shape is open."""
    shapes = {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shapes[tensor.name] = tuple(int(size) for size in tensor.shape)
    open_inputs = {name for name, shape in shapes.items() if -1 in shape}
    missing, unknown = sorted(open_inputs - set(profiles)), sorted(set(profiles) - set(shapes))
    if missing or unknown:
        raise BuildError(
            f"{onnx}: profiles: the inputs are {shapes} (-1 is open); "
            + (f"give smallest, best and largest shape of {', '.join(missing)}" if missing else "")
            + (f"there is no {', '.join(unknown)}" if unknown else "")
        )
    # Without one, even if it is empty, 8.5 and 8.6 fail where shapes of outputs depend on the data.
    profile = builder.create_optimization_profile()
    mark = library.errors.mark()
    try:
        for name in sorted(open_inputs):
            smallest, best, largest = profiles[name]
            profile.set_shape(name, smallest, best, largest)
        added = config.add_optimization_profile(profile) >= 0
    except (RuntimeError, ValueError):  # what the bindings make of shapes that contradict
        added = False
    if not added:
        raise BuildError(
            f"{onnx}: profiles: {library} refuses {dict(profiles)} ({library.errors.since(mark)})"
        )
