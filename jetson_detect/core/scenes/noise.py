"""Smooth noise, of which clouds, grain and dirt are made."""

from __future__ import annotations

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Float


def smooth_noise(
    rng: np.random.Generator, width: int, height: int, cells: int, octaves: int = 2
) -> Float:
    """Return ``(height, width)`` ``float32`` noise of about -1..1 with blobs of 1/``cells``."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        count = cells << octave
        grid = rng.uniform(-1.0, 1.0, (max(2, count * height // width), count)).astype(np.float32)
        layer = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += layer * np.float32(0.5**octave)
    return total
