"""An engine beside its source, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jetson_detect.core.engines.proof.detection_agreement import (
    AveragePrecision,
    DetectionAgreement,
)
from jetson_detect.core.engines.proof.frame_run import NetworkFacts
from jetson_detect.core.engines.proof.tensor_error import TensorComparison, TensorError
from jetson_detect.core.model import Precision


@dataclass(frozen=True)
class Comparison:
    """What was measured; says nothing about whether it suffices.  JSON can hold it."""

    engine: NetworkFacts
    source: NetworkFacts
    score_threshold: float
    """From here on engine and source are sure of an object."""
    tensors: TensorComparison
    detections: DetectionAgreement
    against_source: AveragePrecision | None = None
    """With what the source is sure of as truth; None if that is nothing, or not evaluated."""
    against_truth: AveragePrecision | None = None
    """With the frames' own truth; None if there is none, or not evaluated."""
    unevaluated: str | None = None
    """Why average precision could not be evaluated."""
    layers: Mapping[str, int] | None = None
    """How many layers run in which precision; None if that was not measured."""
    layers_problem: str | None = None
    """What speaks against them."""

    @property
    def speedup(self) -> float:
        """How many times as fast as the source the engine is, by the medians of the inference."""
        return self.source.inference.p50_ms / self.engine.inference.p50_ms

    @property
    def layer_share(self) -> float | None:
        """The share of the layers that tell their precision which run in the engine's.

        None if none tells.
        """
        names = {precision.value.upper() for precision in Precision}
        known = {name: count for name, count in (self.layers or {}).items() if name in names}
        total = sum(known.values())
        return known.get(self.engine.precision.upper(), 0) / total if total else None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Comparison:
        """Read what :func:`dataclasses.asdict` made."""
        tensors = document["tensors"]
        precisions = {
            name: None if document[name] is None else AveragePrecision(**document[name])
            for name in ("against_source", "against_truth")
        }
        return cls(
            **{
                **document,
                **precisions,
                "engine": NetworkFacts.from_json(document["engine"]),
                "source": NetworkFacts.from_json(document["source"]),
                "detections": DetectionAgreement.from_json(document["detections"]),
                "tensors": TensorComparison(
                    tuple(TensorError(**error) for error in tensors["errors"]),
                    tuple(tensors["skipped"]),
                    tuple(tensors["broken"]),
                ),
            }
        )
