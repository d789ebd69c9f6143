from __future__ import annotations

from dataclasses import replace

from jetson_detect.commands.comparison_cells import comparison_cells
from jetson_detect.core.engines.proof import Comparison
from jetson_detect.core.engines.proof.detection_agreement import (
    AveragePrecision,
    DetectionAgreement,
    Spread,
    WorstFrame,
)
from jetson_detect.core.engines.proof.frame_run import NetworkFacts
from jetson_detect.core.engines.proof.tensor_error import TensorComparison, TensorError
from jetson_detect.core.timing import Latency


def facts(milliseconds: float) -> NetworkFacts:
    latency = Latency(milliseconds, 90.0, 80.0, 10)
    return NetworkFacts("file", "onnx", "fp32", "backend", "1.0", "CPU", latency, latency, 100.0)


def error(rms: float) -> TensorError:
    return TensorError("tensor", 8, 3.0, 0.5, 0.1, rms, 0.9)


SEEN = Comparison(
    engine=facts(2.0),
    source=facts(8.125),
    score_threshold=0.3,
    tensors=TensorComparison((error(0.002), error(0.03))),
    detections=DetectionAgreement(
        objects=12,
        matched=10,
        missed=2,
        extra=3,
        box_px=Spread(0.5, 1.25, 7.0),
        box_input_px=Spread(0.1, 0.2, 0.3),
        score=Spread(0.0, 0.0, 0.0),
        worst=WorstFrame(0, 2, 3, 7.0),
    ),
    against_source=AveragePrecision(12, 0.98765, 0.9),
    against_truth=AveragePrecision(14, 0.91, 0.8, 0.95),
)


def test_a_comparison_is_shown_with_its_worst_output_and_the_medians():
    assert comparison_cells(SEEN) == (
        "3.0e-02",
        "0.9877",
        "0.9500 0.9100",
        "1.25",
        "10 2 3",
        "8.12",
        "2.00",
    )


def test_what_was_not_measured_is_a_dash():
    bare = replace(SEEN, tensors=TensorComparison(), against_source=None, against_truth=None)
    assert comparison_cells(bare)[:3] == ("-", "-", "-")
    assert comparison_cells(bare)[3:] == comparison_cells(SEEN)[3:]
