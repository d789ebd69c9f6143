"""A picture with the truth about it, and what belongs into the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = ("ball", "box", "cone", "cup", "bottle", "sign")

MIN_VISIBLE_FRACTION = 0.35
"""An object is in the ground truth when this share of its whole area can be seen."""

MIN_BOX_SIDE = 0.025
"""... and when both sides of its box are at least this share of the image's short side."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture and what is in it.

    Attributes:
        image: ``(H, W, 3)`` ``uint8``, BGR.
        boxes: ``(N, 4)`` ``float32``, ``x_min, y_min, x_max, y_max`` in pixels (edges).
        class_ids: ``(N,)`` ``int32``, index into :data:`CLASS_NAMES`.
        object_ids: ``(N,)`` ``int32``, the same object keeps its number over a sequence.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    object_ids: NDArray[np.int32]


def check_size(width: int, height: int) -> None:
    """Raise ValueError where a picture of this size would be too small."""
    if width < 32 or height < 32:
        raise ValueError(f"a picture is at least 32 x 32 pixels, got {width} x {height}")
