"""How far an engine may be from its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jetson_detect.core.model import Precision


@dataclass(frozen=True)
class ProofLimits:
    """What an engine must keep to; None for what is only reported.

    A network with random weights finds noise, whose scores are nearly tied: rounding alone decides
    what it finds.  For one of these only ``tensor_rms`` and ``tensor_relative`` mean anything.
    """

    tensor_relative: float | None
    """The most that any number of an output may be off, as a share of the largest magnitude in the
    source's."""
    tensor_rms: float | None
    """The most that an output's root mean square error may be, as a share of the root mean square
    of the source's."""
    map50: float | None
    """The least mAP50 with what the source is sure of as truth."""
    map50_drop: float | None
    """The most mAP50 that the engine may lose against the source where the truth is known."""
    box_input_px: float | None
    """The most that an edge may move, in pixels of the network's input, in 99 of 100 frames."""
    disagreement: float | None
    """The largest share of objects that only one of the two finds."""
    layer_share: float = 0.0
    """The least share of layers that run in the engine's precision; one at least must."""
    min_speedup: float = 0.0
    """How many times as fast as the source it must be, by the medians of the inference alone."""
    min_objects: int = 30
    """With fewer objects in the frames there is a warning: each counts too much."""

    @classmethod
    def for_precision(cls, precision: Precision, tf32: bool = True, **changes: Any) -> ProofLimits:
        """Return what suits engines of a precision, with some limits changed.

        Parameters
        ----------
        precision:
            The engine's.
        tf32:
            Whether an fp32 engine may multiply in TensorFloat-32.
        changes:
            Limits by name.

        """
        exact = precision is Precision.FP32 and not tf32
        return replace(_EXACT if exact else _DEFAULTS[precision], **changes)


_EXACT = ProofLimits(
    tensor_relative=0.001,
    tensor_rms=0.0003,
    map50=0.998,
    map50_drop=0.002,
    box_input_px=0.1,
    disagreement=0.01,
)
_INT8 = ProofLimits(
    # Where a head says nothing of use, a box's offset in an empty cell for one, INT8 may say
    # anything: single numbers tell little.
    tensor_relative=1.0,
    tensor_rms=0.3,
    map50=0.98,
    map50_drop=0.02,
    box_input_px=5.0,
    disagreement=0.05,
)
_FP16 = ProofLimits(
    tensor_relative=0.05,
    tensor_rms=0.01,
    map50=0.995,
    map50_drop=0.005,
    box_input_px=1.5,
    disagreement=0.02,
)
_DEFAULTS: Mapping[Precision, ProofLimits] = {
    # TensorFloat-32 has as short a mantissa as FP16.
    Precision.FP32: replace(_EXACT, tensor_relative=0.05, tensor_rms=0.01, box_input_px=0.5),
    Precision.FP16: _FP16,
    # Eight times as coarse as FP16.
    Precision.BF16: replace(
        _FP16, tensor_relative=0.3, tensor_rms=0.08, map50=0.99, map50_drop=0.01, box_input_px=3.0
    ),
    Precision.INT8: _INT8,
    Precision.FP8: _INT8,
}
"""On an H200 the demo model in TF32 is off by up to 0.010 of an output's largest value and by
0.0026 of its rms, in FP16 by 0.025 and 0.006; without TF32 networks are off by 1e-5.  FP16 moves
edges by up to 0.9 pixels of its input and scores by 0.007; in INT8 on TFLite it has rms errors of
0.04 to 0.15, a mAP50 of 0.991 of its source's, 0.0035 less against the truth, edges that move by
2.6 pixels (p99), and 1.6 % disagreement."""
