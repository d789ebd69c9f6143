"""The frame in which engine and source agree least, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import draw_detections, to_bgr
from jetson_detect.core.pixels import Pixels

WORST_FRAME_FILE = "worst_frame.jpg"

_BAR = 24
"""Height of the line above each picture, in pixels."""
_INK, _PAPER = (0, 0, 0), 255


def write_worst_frame(
    folder: Path,
    pixels: Pixels,
    engine: Detections,
    source: Detections,
    labels: Sequence[str],
    score_threshold: float,
) -> Path:
    """Write one image: on the left what the source is sure of, on the right the engine.

    Raises
    ------
    OSError
        If it cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WORST_FRAME_FILE
    halves = [
        _titled(title, to_bgr(pixels), found.take(found.best_scores >= score_threshold), labels)
        for title, found in (("source", source), ("engine", engine))
    ]
    try:
        written = cv2.imwrite(str(path), np.hstack(halves))
    except cv2.error as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    if not written:
        raise OSError(f"{path} cannot be written; is the disk full?")
    return path


def _titled(
    title: str, image: NDArray[np.uint8], found: Detections, labels: Sequence[str]
) -> NDArray[np.uint8]:
    bar = np.full((_BAR, image.shape[1], 3), _PAPER, np.uint8)
    cv2.putText(bar, title, (4, _BAR - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return np.vstack([bar, draw_detections(image, found, labels)])
