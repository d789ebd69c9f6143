"""A picture fitted into the network's square input, as the examples of YOLO do it."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
from numpy.typing import NDArray

PADDING = 114
"""The grey of Ultralytics' own ``LetterBox`` (ultralytics/data/augment.py)."""


class Fit(NamedTuple):
    """Where a picture lies in the network's input."""

    left: int
    top: int
    width: int
    height: int
    scale: float
    """Network pixels for one of the picture."""


def fit(width: int, height: int, size: int) -> Fit:
    """Fit a picture into the middle of a square of ``size`` pixels."""
    scale = min(size / width, size / height)
    inner_width, inner_height = round(width * scale), round(height * scale)
    return Fit(
        (size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height, scale
    )


def letterbox(
    image: NDArray[Any], size: int, interpolation: int = cv2.INTER_LINEAR
) -> NDArray[Any]:
    """Resize an (H, W, 3) picture of bytes, and pad it to (size, size, 3)."""
    left, top, width, height, _ = fit(image.shape[1], image.shape[0], size)
    resized = cv2.resize(image, (width, height), interpolation=interpolation)
    bottom, right = size - height - top, size - width - left
    return cv2.copyMakeBorder(
        resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(PADDING,) * 3
    )
