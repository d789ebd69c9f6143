"""Proof that an engine finds what its source finds, before anything relies on it.

The source is run first, in a process of its own: :func:`run_reference`.  What it answers is kept
(:class:`Reference`), and :func:`prove` runs the engine on the same frames
(:mod:`jetson_detect.core.sample_frames`), compares raw outputs, detections, layers and times, and
judges them by :class:`ProofLimits`.
"""

from __future__ import annotations

from jetson_detect.core.engines.proof.comparison import Comparison
from jetson_detect.core.engines.proof.errors import FaultyNetworkError, ProofError
from jetson_detect.core.engines.proof.frame_run import RunOptions
from jetson_detect.core.engines.proof.limits import ProofLimits
from jetson_detect.core.engines.proof.proof import Proof
from jetson_detect.core.engines.proof.proving import LayerCounts, prove
from jetson_detect.core.engines.proof.reference import Reference, run_reference

__all__ = [
    "Comparison",
    "FaultyNetworkError",
    "LayerCounts",
    "Proof",
    "ProofError",
    "ProofLimits",
    "Reference",
    "RunOptions",
    "prove",
    "run_reference",
]
