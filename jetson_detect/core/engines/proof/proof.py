"""Whether an engine may stand in for its source, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jetson_detect.core.engines.proof.comparison import Comparison
from jetson_detect.core.engines.proof.limits import ProofLimits


@dataclass(frozen=True)
class Proof:
    """The report on one engine; JSON can hold it."""

    model: str
    """The model's name."""
    engine: str
    """The engine's file name."""
    precision: str
    frames: int
    frames_sha256: str
    """As :func:`~jetson_detect.core.sample_frames.frames_sha256`."""
    limits: ProofLimits
    comparison: Comparison | None
    """None if the engine does not load or fails on a frame."""
    failures: tuple[str, ...] = ()
    """Sentences: the number, the limit and the remedy."""
    warnings: tuple[str, ...] = ()
    worst_picture: str | None = None
    """An image of the frame with the largest disagreement, where one was asked for."""

    @property
    def passed(self) -> bool:
        """Whether the engine may stand in for its source."""
        return not self.failures

    def summary(self) -> str:
        """Return one line for a log."""
        parts = [f"{self.frames} frames"]
        seen = self.comparison
        if seen is not None:
            if seen.tensors.errors:
                worst = max(error.relative for error in seen.tensors.errors)
                parts.append(f"tensors within {worst:.1e}")
            if seen.against_source is not None:
                parts.append(f"mAP50 {seen.against_source.engine50:.3f} of the source's")
            if seen.detections.matched:
                parts.append(f"boxes within {seen.detections.box_px.p99:.1f} px (p99)")
            parts.append(f"{seen.speedup:.2g} x as fast")
        if self.failures:
            others = len(self.failures) - 1
            more = f" (and {others} more)" if others else ""
            return f"{self.precision} refused: {self.failures[0]}{more}; {', '.join(parts)}"
        return f"{self.precision}: {', '.join(parts)}"

    def figures(self) -> dict[str, float]:
        """Return the few numbers that a list of engines shows, by name and unit."""
        seen = self.comparison
        if seen is None:
            return {}
        figures = {
            "inference p50 ms": seen.engine.inference.p50_ms,
            "times as fast as source": seen.speedup,
            "boxes p99 px": seen.detections.box_px.p99,
        }
        if seen.against_source is not None:
            figures["mAP50 against source"] = seen.against_source.engine50
        if seen.against_truth is not None:
            figures["mAP50 against truth"] = seen.against_truth.engine50
        return figures

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return {"passed": self.passed, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Proof:
        """Read :meth:`to_json`'s answer back.

        Raises
        ------
        KeyError, TypeError
            If it is none.

        """
        fields = {name: value for name, value in document.items() if name != "passed"}
        seen = fields["comparison"]
        return cls(
            **{
                **fields,
                "limits": ProofLimits(**fields["limits"]),
                "comparison": None if seen is None else Comparison.from_json(seen),
                "failures": tuple(fields["failures"]),
                "warnings": tuple(fields["warnings"]),
            }
        )
