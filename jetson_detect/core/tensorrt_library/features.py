"""The one table of what differs between TensorRT 8.5 and 11.

A name that is not in every one of these versions is used behind a field of :class:`Features` only.
The table is read by version, never by looking whether a name is there: a guard that skips a flag
because it is missing builds another engine than was asked for, in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from jetson_detect.core.backends.base import BackendUnavailableError

_Release = tuple[int, int]

OLDEST = "8.5"
NEWEST = "11"

_TABLE: tuple[tuple[str, str, str | None], ...] = (
    # field of Features, first release that has it, last release that has it (None: all newer)
    ("explicit_batch_flag", "8.5", "10.16"),
    ("fp16_flag", "8.5", "10.16"),
    ("int8_flag", "8.5", "10.16"),
    ("reallocate_output", "8.5", "8.6"),
    ("fp8_flag", "8.6", "10.16"),
    ("fp8_tensors", "8.6", None),
    ("cast_layers", "8.6", None),
    ("builder_optimization_level", "8.6", None),
    ("max_aux_streams", "8.6", None),
    ("version_compatible_flag", "8.6", None),
    ("hardware_compatibility", "8.6", None),
    ("engine_host_code_allowed", "8.6", None),
    ("plugin_registry_of_runtime", "8.6", None),
    ("bf16_flag", "10.0", "10.16"),
    ("strongly_typed_flag", "10.0", None),
    ("strip_plan_flag", "10.0", None),
    ("progress_monitor", "10.0", None),
    ("int64_tensors", "10.0", None),
    ("bf16_tensors", "10.0", None),
    ("parser_node_name", "10.0", None),
    ("reallocate_output_async", "10.0", None),
    ("device_memory_size_v2", "10.1", None),
    ("same_compute_capability", "10.9", None),
)


@dataclass(frozen=True)
class Features:
    """What one version of TensorRT has; each field guards the names in its description."""

    explicit_batch_flag: bool
    """``NetworkDefinitionCreationFlag.EXPLICIT_BATCH``; later networks know nothing else."""
    fp16_flag: bool
    """``BuilderFlag.FP16``; later engines have the precision that is written in the ONNX."""
    int8_flag: bool
    """``BuilderFlag.INT8``."""
    reallocate_output: bool
    """An output allocator is asked through ``reallocate_output``."""
    fp8_flag: bool
    """``BuilderFlag.FP8``."""
    fp8_tensors: bool
    """``DataType.FP8``."""
    cast_layers: bool
    """``LayerType.CAST``; before, a cast is an identity layer."""
    builder_optimization_level: bool
    """``IBuilderConfig.builder_optimization_level``."""
    max_aux_streams: bool
    """``IBuilderConfig.max_aux_streams``."""
    version_compatible_flag: bool
    """``BuilderFlag.VERSION_COMPATIBLE`` and ``BuilderFlag.EXCLUDE_LEAN_RUNTIME``."""
    hardware_compatibility: bool
    """``IBuilderConfig.hardware_compatibility_level`` and its level ``AMPERE_PLUS``."""
    engine_host_code_allowed: bool
    """``Runtime.engine_host_code_allowed``, which version compatible plans need."""
    plugin_registry_of_runtime: bool
    """``Runtime.get_plugin_registry`` and ``IPluginRegistry.load_library``."""
    bf16_flag: bool
    """``BuilderFlag.BF16``."""
    strongly_typed_flag: bool
    """``NetworkDefinitionCreationFlag.STRONGLY_TYPED``."""
    strip_plan_flag: bool
    """``BuilderFlag.STRIP_PLAN``."""
    progress_monitor: bool
    """``IProgressMonitor`` and ``IBuilderConfig.progress_monitor``."""
    int64_tensors: bool
    """``DataType.INT64``."""
    bf16_tensors: bool
    """``DataType.BF16``."""
    parser_node_name: bool
    """``ParserError.node_name`` and ``ParserError.node_operator``."""
    reallocate_output_async: bool
    """An output allocator is asked through ``reallocate_output_async``."""
    device_memory_size_v2: bool
    """``ICudaEngine.device_memory_size_v2`` instead of ``device_memory_size``."""
    same_compute_capability: bool
    """``HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY``."""


def releases_with(feature: str) -> str:
    """Write the releases that have a feature, as ``8.6 and newer`` or ``10.0 to 10.16``.

    Parameters
    ----------
    feature:
        The name of a field of :class:`Features`.

    """
    spans = {name: (first, last) for name, first, last in _TABLE}
    first, last = spans[feature]
    return f"{first} and newer" if last is None else f"{first} to {last}"


@cache
def features_of(version: str) -> Features:
    """Look a version up in the table.

    Parameters
    ----------
    version:
        TensorRT's ``__version__``, as ``8.5.3.1``.

    Raises
    ------
    BackendUnavailableError
        If the version is older or newer than the table.

    """
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        raise BackendUnavailableError(
            f"TensorRT calls its version '{version}', which is none; install it again"
        )
    release = int(match[1]), int(match[2])
    if release < _release(OLDEST) or release[0] > _release(NEWEST)[0]:
        raise BackendUnavailableError(
            f"TensorRT {version} is not supported: install {OLDEST} to {NEWEST} "
            "(JetPack 5.1 is the first that brings 8.5)"
        )
    return Features(
        **{
            name: _release(first) <= release and (last is None or release <= _release(last))
            for name, first, last in _TABLE
        }
    )


def _release(text: str) -> _Release:
    """Return major and minor number of a version; minor 0 where there is none."""
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)
