from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.pixels import Pixels
from jetson_detect.report.replayed_frame import ReplayedFrame

LABELS = ("ball", "box", "cone")


@pytest.fixture
def objects():
    """Makes detections of rows: class, score and box of each."""

    def make(*rows: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
        return Detections.from_best(
            np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in rows], np.float32),
            np.array([class_id for class_id, _, _ in rows], np.int32),
        )

    return make


@pytest.fixture
def make_frame():
    """Makes a frame of a number, 0.1 s apart, 160 x 120 pixels; further fields as they are."""

    def make(number: int = 0, found: Detections | None = None, **fields) -> ReplayedFrame:
        values = {
            "topic": "/camera/image_raw",
            "stamp_ns": 1_700_000_000_000_000_000 + number * 100_000_000,
            "pixels": Pixels.from_array(np.full((120, 160, 3), number % 256, np.uint8)),
            "detections": Detections.empty() if found is None else found,
            "labels": LABELS,
        }
        return ReplayedFrame(**{**values, **fields})

    return make
