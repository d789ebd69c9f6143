"""Arrays of numbers and of pixels, and the step from one to the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Image = NDArray[np.uint8]


def to_bytes(values: NDArray[Any]) -> Image:
    """Return ``values`` rounded and clipped to ``uint8``."""
    return np.ascontiguousarray(np.clip(values + 0.5, 0.0, 255.0), dtype=np.uint8)
