"""The picture that all cameras of a benchmark show."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes import SceneSequence

_SEED = 7

SIZES = {
    "480p": (640, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "4k": (3840, 2160),
}
"""Width and height by the names of a command line."""


@lru_cache(maxsize=2)
def draw_picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw a scene of the demo's objects, (H, W, 3) in BGR; the same each time."""
    return SceneSequence(_SEED, *size).frame(0).image


def size_text(size: tuple[int, int]) -> str:
    """Write a size as ``1920x1080``."""
    return f"{size[0]}x{size[1]}"
