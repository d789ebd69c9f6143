"""Sprites: pictures of one object with an alpha channel, and the canvas to draw them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes.arrays import Float, Image, to_bytes


@dataclass(frozen=True, eq=False)
class Sprite:
    """A picture of one object.

    Attributes:
        levels: ``(h, w, 4)`` ``uint8`` BGRA with colour multiplied by alpha, each level half the
            size of the one before, so that a small object is not sampled with gaps.
        extent: longer side of the object at level 0, in pixels.
        area: area of the object at level 0, in pixels.
    """

    levels: tuple[Image, ...]
    extent: float
    area: float


class Canvas:
    """A square drawing area of coordinates -1..1 in which layers are put over each other."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.step = np.float32(2.0 / side)
        axis = ((np.arange(side) + 0.5) * (2.0 / side) - 1.0).astype(np.float32)
        self.x: Float = np.ascontiguousarray(np.broadcast_to(axis[None, :], (side, side)))
        self.y: Float = np.ascontiguousarray(np.broadcast_to(axis[:, None], (side, side)))
        self.colour = np.zeros((side, side, 3), np.float32)  # multiplied by alpha
        self.alpha = np.zeros((side, side), np.float32)

    def cover(self, distance: NDArray[Any]) -> Float:
        """Return the alpha of a shape from the distance to its edge, positive inside."""
        return np.asarray(np.clip(distance / self.step + 0.5, 0.0, 1.0), dtype=np.float32)

    def over(self, colour: NDArray[Any], alpha: NDArray[Any]) -> None:
        """Put a layer of ``colour`` ``(S, S, 3)`` or ``(3,)`` with ``alpha`` ``(S, S)`` on top."""
        keep = 1.0 - alpha
        self.colour *= keep[..., None]
        self.colour += np.clip(colour, 0.0, 255.0) * alpha[..., None]
        self.alpha = np.asarray(self.alpha * keep + alpha, dtype=np.float32)

    def over_art(self, art: Image) -> None:
        """Put flat art on top: ``(2 S, 2 S, 4)`` ``uint8`` BGRA, alpha 0 or 255, halved here."""
        weight = art[..., 3:4].astype(np.float32) / 255.0
        layered = np.concatenate([art[..., :3] * weight, weight], axis=2)
        small = cv2.resize(layered, (self.side, self.side), interpolation=cv2.INTER_AREA)
        keep = 1.0 - small[..., 3]
        self.colour *= keep[..., None]
        self.colour += small[..., :3]
        self.alpha = np.asarray(self.alpha * keep + small[..., 3], dtype=np.float32)

    def art(self) -> Image:
        """Return empty art for :meth:`over_art`."""
        return np.zeros((2 * self.side, 2 * self.side, 4), np.uint8)

    def art_points(self, points: NDArray[Any]) -> NDArray[np.int32]:
        """Return points ``(N, 2)`` of -1..1 as pixels of the art."""
        return np.asarray(np.round((points + 1.0) * self.side), dtype=np.int32)

    def sprite(self) -> Sprite:
        """Return what was drawn, cropped to it and with a clear rim of two pixels."""
        covered = np.asarray(self.alpha >= 0.5, dtype=np.uint8)
        left, top, width, height = cv2.boundingRect(covered)
        pixels = np.dstack([self.colour, 255.0 * self.alpha])
        pixels = pixels[top : top + height, left : left + width]
        level = np.zeros((height + 4, width + 4, 4), np.uint8)
        level[2:-2, 2:-2] = to_bytes(pixels)
        levels = [level]
        while min(level.shape[:2]) > 24 and len(levels) < 4:
            # Even sides, so that halving keeps every level aligned with the one above it.
            even = cv2.copyMakeBorder(
                level, 0, level.shape[0] % 2, 0, level.shape[1] % 2, cv2.BORDER_CONSTANT
            )
            half = (even.shape[1] // 2, even.shape[0] // 2)
            level = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
            levels.append(level)
        return Sprite(tuple(levels), float(max(width, height)), float(self.alpha.sum()))
