"""How an engine is built, and what has to be written into the ONNX file for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.features import Features

Shape = tuple[int, ...]


class HardwareCompatibility(str, Enum):
    """On which GPUs, besides the one that it was built on, an engine runs."""

    NONE = "none"
    AMPERE_PLUS = "ampere_plus"
    """Ampere and everything newer, slower than an engine of their own; not on a Jetson."""
    SAME_COMPUTE_CAPABILITY = "same_compute_capability"


class OnnxForm(str, Enum):
    """What an ONNX file must hold besides the network's float weights."""

    PLAIN = "plain"
    FLOAT16 = "float16"
    """Weights and what is computed in between are float16."""
    INT8_QDQ = "int8_qdq"
    """Pairs of QuantizeLinear and DequantizeLinear around what runs in int8."""
    INT8_QDQ_FLOAT16 = "int8_qdq_float16"
    """The same, and float16 where it is not quantised."""


@dataclass(frozen=True)
class BuildOptions:
    """How a plan is built.

    Names are those of TensorRT's ``IBuilderConfig`` and ``trtexec``.  What a version of TensorRT
    lacks is refused by name, never left out in silence.
    """

    precision: Precision = Precision.FP32
    """The lowest precision that layers may run in.  ``int8`` and ``fp8`` need a quantised ONNX file
    and run the rest in fp16."""
    tf32: bool = True
    """Whether FP32 layers may multiply with 10-bit mantissas (TensorFloat-32, Ampere and newer), as
    TensorRT does by default; without it an fp32 plan agrees with its source to the last digits."""
    workspace_mb: int = 1024
    """The most scratch memory that a layer may take, in MB."""
    optimization_level: int | None = None
    """0 (fast build) to 5 (fast plan), from TensorRT 8.6 on; None for TensorRT's default, 3."""
    profiles: Mapping[str, tuple[Shape, Shape, Shape]] = field(default_factory=dict)
    """Smallest, best and largest shape of each input whose shape is open; one profile."""
    dla_core: int = -1
    """The DLA core that the plan is built for, counted from 0; -1 for the GPU."""
    gpu_fallback: bool = True
    """Whether layers that the DLA cannot run may run on the GPU; without a DLA core of no effect.
    """
    sparsity: bool = False
    """Whether kernels for 2:4 sparse weights may be taken where the weights are."""
    tactic_sources: tuple[str, ...] | None = None
    """Names of ``TacticSource``: where kernels may come from; None for TensorRT's default."""
    version_compatible: bool = False
    """Whether later versions of TensorRT, and the lean runtime, may run the plan; from 8.6 on."""
    exclude_lean_runtime: bool = False
    """Whether a version compatible plan leaves out the runtime that it would bring (tens of MB), to
    be run by a lean runtime that is installed; from 8.6 on."""
    hardware_compatibility: HardwareCompatibility = HardwareCompatibility.NONE
    """Other than none from 8.6 on, the same compute capability from 10.9 on."""
    refit: bool = False
    """Whether weights may be exchanged in the plan."""
    strip: bool = False
    """Whether weights are left out of the plan, to be put in before it runs; from 10.0 on."""
    strongly_typed: bool | None = None
    """Whether tensors have the types that the ONNX file gives them, from 10.0 on; None: only where
    the version knows nothing else (11)."""
    max_aux_streams: int | None = None
    """The most further streams that an inference may use, from 8.6 on; None for TensorRT's choice.
    """
    avg_timing_iterations: int | None = None
    """How often a kernel is timed while building; None for TensorRT's default, 1."""
    timing_cache: Path | None = None
    """A file in which measured times are kept from build to build, for this version and this kind
    of GPU only.  It makes builds faster and is not part of what identifies an engine."""

    def identity(self) -> dict[str, Any]:
        """Return what identifies the engine that comes out, as plain values for JSON, by option."""
        return {
            option.name: _plain(getattr(self, option.name))
            for option in fields(self)
            if option.name not in _NOT_OF_THE_ENGINE
        }


_NOT_OF_THE_ENGINE = frozenset({"timing_cache"})


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        # Sources are a set; shapes, whose order counts, are numbers.
        named = value and all(isinstance(part, str) for part in value)
        return sorted(set(value)) if named else [_plain(part) for part in value]
    return value


def is_strongly_typed(features: Features, options: BuildOptions) -> bool:
    """Return whether tensors will have the types that the ONNX file gives them."""
    return not features.fp16_flag or bool(options.strongly_typed)


def onnx_form(features: Features, options: BuildOptions) -> OnnxForm:
    """Return what must be written into the ONNX file for a version of TensorRT and a precision.

    By flags (8.5 to 10) TensorRT lowers the precision itself and wants to be told ranges only;
    strongly typed (10 by option, 11 always) it computes in the types of the file.  bf16 and fp8 are
    not written by this project: where the file has to hold them, it has to come with them, and the
    form is plain.
    """
    typed = is_strongly_typed(features, options)
    if options.precision is Precision.INT8:
        return OnnxForm.INT8_QDQ_FLOAT16 if typed else OnnxForm.INT8_QDQ
    if options.precision is Precision.FP16 and typed:
        return OnnxForm.FLOAT16
    return OnnxForm.PLAIN
