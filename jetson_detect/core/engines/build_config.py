"""TensorRT's builder configuration, made from our options; what a version lacks is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.engines.build_errors import BuildError
from jetson_detect.core.engines.build_options import (
    BuildOptions,
    HardwareCompatibility,
    Shape,
    is_strongly_typed,
)
from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary
from jetson_detect.core.tensorrt_library.features import releases_with

if TYPE_CHECKING:
    import tensorrt as trt

_LEVELS = range(6)


def make_config(
    library: TensorrtLibrary,
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    options: BuildOptions,
    onnx: Path,
) -> trt.IBuilderConfig:
    """Return the configuration for a network that was read.

    Raises
    ------
    BuildError
        Naming an option that this version or machine lacks, or that contradicts the network.

    """
    trt = library.trt
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    # So that the engine's inspector tells in which precision each layer runs.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.sparsity:
        config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    if options.avg_timing_iterations is not None:
        config.avg_timing_iterations = options.avg_timing_iterations
    _set_precision(library, config, options)
    _set_level(library, config, options.optimization_level)
    _set_streams(library, config, options.max_aux_streams)
    _set_sources(library, config, options.tactic_sources)
    _set_compatibility(library, config, options)
    _set_weights(library, config, options)
    _set_dla(library, builder, config, options)
    _add_profile(library, builder, network, config, options.profiles, onnx)
    return config


def _lacking(library: TensorrtLibrary, option: str, feature: str) -> BuildError:
    """Make the error for an option that a version of TensorRT has nothing for."""
    return BuildError(
        f"{option}: {library} has none, only {releases_with(feature)}: leave it out, or build with "
        "one of those"
    )


def _set_precision(
    library: TensorrtLibrary, config: trt.IBuilderConfig, options: BuildOptions
) -> None:
    trt, features = library.trt, library.features
    precision = options.precision
    if not features.fp16_flag and options.strongly_typed is False:
        raise BuildError(
            f"strongly_typed false: {library} builds nothing else: leave it out, and bring the "
            "precision with the ONNX file"
        )
    if options.strongly_typed and not features.strongly_typed_flag:
        raise _lacking(library, "strongly_typed true", "strongly_typed_flag")
    if is_strongly_typed(features, options) or precision is Precision.FP32:
        return
    if precision is Precision.BF16:
        if features.bf16_flag:
            config.set_flag(trt.BuilderFlag.BF16)
        else:
            raise _lacking(library, "precision bf16", "bf16_flag")
        return
    # Also beside int8 and fp8: what is not quantised runs in half instead of FP32.
    if features.fp16_flag:
        config.set_flag(trt.BuilderFlag.FP16)
    if precision is Precision.INT8 and features.int8_flag:
        config.set_flag(trt.BuilderFlag.INT8)
    if precision is Precision.FP8:
        if features.fp8_flag:
            config.set_flag(trt.BuilderFlag.FP8)
        else:
            raise _lacking(library, "precision fp8", "fp8_flag")


def _set_level(library: TensorrtLibrary, config: trt.IBuilderConfig, level: int | None) -> None:
    if level is None:
        return
    features = library.features
    if level not in _LEVELS:
        raise BuildError(f"optimization_level {level}: give {_LEVELS[0]} to {_LEVELS[-1]}")
    if features.builder_optimization_level:
        config.builder_optimization_level = level
    else:
        raise _lacking(library, f"optimization_level {level}", "builder_optimization_level")


def _set_streams(library: TensorrtLibrary, config: trt.IBuilderConfig, streams: int | None) -> None:
    if streams is None:
        return
    features = library.features
    if features.max_aux_streams:
        config.max_aux_streams = streams
    else:
        raise _lacking(library, f"max_aux_streams {streams}", "max_aux_streams")


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


def _set_compatibility(
    library: TensorrtLibrary, config: trt.IBuilderConfig, options: BuildOptions
) -> None:
    trt, features = library.trt, library.features
    if options.version_compatible:
        if features.version_compatible_flag:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
            if options.exclude_lean_runtime:
                config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)
        else:
            raise _lacking(library, "version_compatible", "version_compatible_flag")
    elif options.exclude_lean_runtime:
        raise BuildError(
            "exclude_lean_runtime: only a version compatible plan brings a lean runtime: set "
            "version_compatible too, or leave it out"
        )
    level = options.hardware_compatibility
    if level is HardwareCompatibility.AMPERE_PLUS:
        if features.hardware_compatibility:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        else:
            raise _lacking(
                library, f"hardware_compatibility {level.value}", "hardware_compatibility"
            )
    if level is HardwareCompatibility.SAME_COMPUTE_CAPABILITY:
        if features.hardware_compatibility and features.same_compute_capability:
            config.hardware_compatibility_level = (
                trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY
            )
        else:
            raise _lacking(
                library, f"hardware_compatibility {level.value}", "same_compute_capability"
            )


def _set_weights(
    library: TensorrtLibrary, config: trt.IBuilderConfig, options: BuildOptions
) -> None:
    trt, features = library.trt, library.features
    if options.refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if options.strip:
        if features.strip_plan_flag:
            config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        else:
            raise _lacking(library, "strip", "strip_plan_flag")


def _set_dla(
    library: TensorrtLibrary,
    builder: trt.Builder,
    config: trt.IBuilderConfig,
    options: BuildOptions,
) -> None:
    if options.dla_core < 0:
        return
    trt = library.trt
    cores = int(builder.num_DLA_cores)
    if options.dla_core >= cores:
        raise BuildError(
            f"dla_core {options.dla_core}: this machine has {cores}, counted from 0: choose one of "
            "them, or -1 for the GPU"
        )
    if options.precision not in (Precision.FP16, Precision.INT8):
        raise BuildError(
            f"dla_core {options.dla_core}: a DLA computes in fp16 and int8, not in "
            f"{options.precision.value}: choose one of them, or dla_core -1"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = options.dla_core
    if options.gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


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
