"""Warping pixels into a part of a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes.arrays import Image


def touched_region(
    matrix: NDArray[np.float64], shape: tuple[int, ...], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """Return left, top, right, bottom of the part of the image that a warp can touch."""
    rows, columns = shape[:2]
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]])
    points = corners @ matrix.T
    left, top = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(
        np.ceil(points.max(axis=0)).astype(int) + 2, np.array([width, height])
    )
    if right <= left or bottom <= top:
        return None
    return int(left), int(top), int(right), int(bottom)


def warp_into(
    pixels: Image, matrix: NDArray[np.float64], region: tuple[int, int, int, int]
) -> Image:
    """Return ``pixels`` warped by ``matrix`` as seen through ``region``."""
    left, top, right, bottom = region
    moved = matrix.copy()
    moved[:, 2] -= (left, top)
    patch = cv2.warpAffine(pixels, moved, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    return np.asarray(patch, dtype=np.uint8)
