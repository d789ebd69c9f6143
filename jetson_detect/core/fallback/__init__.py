"""Several backends for one model: the best that works runs, and the next one when it fails."""

from __future__ import annotations

from jetson_detect.core.fallback.chain import FallbackChain
from jetson_detect.core.fallback.detector_thread import DetectorThread, NoAnswerError
from jetson_detect.core.fallback.policy import FallbackPolicy
from jetson_detect.core.fallback.report import Report, Severity
from jetson_detect.core.fallback.status import ChainStatus, Refusal

__all__ = [
    "ChainStatus",
    "DetectorThread",
    "FallbackChain",
    "FallbackPolicy",
    "NoAnswerError",
    "Refusal",
    "Report",
    "Severity",
]
