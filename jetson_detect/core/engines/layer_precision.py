"""In which precision the layers of an engine really run, as its inspector tells."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetson_detect.core.backends.base import TensorrtOptions
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary, open_library

if TYPE_CHECKING:
    import tensorrt as trt

_DEFAULTS = TensorrtOptions()

UNKNOWN = "unknown"
"""The precision of a layer that does not tell."""

_NAMES = ("FP32", "FP16", "BF16", "INT8", "FP8", UNKNOWN)

# Texts are "Half", "Row major linear FP32" or "Channel major FP16 format where channel % 8 == 0",
# and change from version to version; the order keeps BFloat16 from being a Float.
_FORMATS = (
    (re.compile(r"(?<!u)int8", re.I), "INT8"),
    (re.compile(r"fp8|float8|e4m3", re.I), "FP8"),
    (re.compile(r"bf16|bfloat", re.I), "BF16"),
    (re.compile(r"fp16|half|float16", re.I), "FP16"),
    (re.compile(r"fp32|float", re.I), "FP32"),
)
_COMPUTES = re.compile(
    r"conv(?!ers)|correlation|gemm|mat(rix)?_?mul|fully_?connected|attention|mha", re.I
)
_OPAQUE = re.compile(r"myelin|foreignnode", re.I)
_FUSED_KERNEL = "kgen"
"""What newer versions call a kernel that they wrote themselves; its name tells of what."""


@dataclass(frozen=True)
class LayerPrecision:
    """A layer that computes: a convolution, a matrix product, or a part that TensorRT compiled."""

    name: str
    type: str
    """As TensorRT calls it, ``CaskConvolution`` for one; empty where the plan does not tell."""
    precision: str
    """``FP32``, ``FP16``, ``BF16``, ``INT8``, ``FP8`` or :data:`UNKNOWN`."""


@dataclass(frozen=True)
class LayerPrecisions:
    """The layers of an engine that compute; copies, formats and pointwise ones are left out."""

    counts: Mapping[str, int]
    """How many there are of each precision, of none too."""
    layers: tuple[LayerPrecision, ...]

    @classmethod
    def of(cls, layers: tuple[LayerPrecision, ...]) -> LayerPrecisions:
        """Count layers."""
        found = [layer.precision for layer in layers]
        return cls({name: found.count(name) for name in _NAMES}, layers)


def inspect_layers(plan: Path, options: TensorrtOptions = _DEFAULTS) -> LayerPrecisions:
    """Load a plan and read in which precision its layers run.

    Plans tell that if they were built with ``ProfilingVerbosity.DETAILED``, as ours are; the layers
    of others are all counted as unknown.

    Parameters
    ----------
    plan:
        The plan file.
    options:
        On which GPU, with which plugins; the whole TensorRT is used in any case.

    Raises
    ------
    BackendUnavailableError
        If TensorRT, pycuda, the driver or the GPU are missing.
    BackendError
        If the plan cannot be loaded.

    """
    library = open_library()
    with (
        closing(Session(library, options, plan)) as session,
        session.in_context("cannot be inspected"),
    ):
        return LayerPrecisions.of(_read_layers(library, session.engine))


def precision_problem(layers: LayerPrecisions, wanted: Precision) -> str | None:
    """Say that an engine has no layer of the precision that it was built for; None if it has.

    An engine is not blamed for what it does not tell: where no layer's precision is known, or no
    layer computes, there is no problem.
    """
    known = {name: count for name, count in layers.counts.items() if count and name != UNKNOWN}
    name = wanted.value.upper()
    if wanted is Precision.FP32 or not known or name in known:
        return None
    told = ", ".join(f"{count} in {precision}" for precision, count in known.items())
    return (
        f"the engine was built for {wanted.value} and no layer of it runs in {name}: {told}; see "
        "that this GPU has it, build while nothing else uses it and without the times that a busy "
        "one left (timing_cache), give a higher optimization_level or workspace_mb, or build it "
        "for what it is"
    )


def _read_layers(library: TensorrtLibrary, engine: trt.ICudaEngine) -> tuple[LayerPrecision, ...]:
    trt = library.trt
    # Without an execution context: with one, versions for Blackwell fail on compiled parts.
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    entries = _parsed(text)
    if entries is None:
        # A name with quotes spoils the whole; layer by layer it costs that layer only.
        entries = []
        for index in range(int(engine.num_layers)):
            text = inspector.get_layer_information(index, trt.LayerInformationFormat.JSON)
            entries.append(_loaded(text) or f"layer {index}")
    layers = (_layer_of(entry) for entry in entries)
    return tuple(layer for layer in layers if layer is not None)


def _parsed(text: str) -> list[Any] | None:
    document = _loaded(text)
    if isinstance(document, dict) and isinstance(document.get("Layers"), list):
        return list(document["Layers"])
    return None


def _loaded(text: str) -> Any:
    try:
        # Not strict: names of fused layers are joined with control characters since 8.6.
        return json.loads(text, strict=False)
    except json.JSONDecodeError:
        return None


def _layer_of(entry: Any) -> LayerPrecision | None:
    """Return what an entry of the inspector's says; None if the layer does not compute."""
    if not isinstance(entry, dict):
        return LayerPrecision(str(entry), "", UNKNOWN)
    name, kind = str(entry.get("Name", "")), str(entry.get("LayerType", ""))
    description = f"{kind} {entry.get('ParameterType', '')}"
    if kind == _FUSED_KERNEL:
        description += f" {name} {entry.get('TacticName', '')}"
    inputs, outputs = _formats(entry, "Inputs"), _formats(entry, "Outputs")
    if _OPAQUE.search(kind) or name.startswith("{ForeignNode"):
        # Its edges may be FP32 though it computes in less; the other way round they tell.
        told = [precision for precision in (*inputs, *outputs) if precision != "FP32"]
    elif _COMPUTES.search(description):
        weights = entry.get("Weights")
        of_weights = _precision_of(weights.get("Type")) if isinstance(weights, dict) else None
        told = [of_weights, *inputs, *outputs]
    else:
        return None
    return LayerPrecision(name, kind, next((precision for precision in told if precision), UNKNOWN))


def _formats(entry: Mapping[str, Any], side: str) -> list[str | None]:
    tensors = entry.get(side)
    return [
        _precision_of(tensor.get("Format/Datatype") or tensor.get("Datatype"))
        for tensor in (tensors if isinstance(tensors, list) else ())
        if isinstance(tensor, dict)
    ]


def _precision_of(text: Any) -> str | None:
    return next((name for pattern, name in _FORMATS if pattern.search(str(text))), None)
