"""Where an object stands, and how large it looks there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """Where and how large an object stands.

    Attributes:
        x, y: the middle of the object, in pixels.
        size: length of its longer side, in pixels.
        angle: turn in the image plane, in degrees.
        shadow: strength of its shadow on the floor, 0..1; 0 for none.
        lift: how far it is above the floor, in pixels.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0
    shadow: float = 0.0
    lift: float = 0.0


def perspective_size(foot: float, horizon: float, height: int, short: int) -> float:
    """Return the usual size of an object whose foot is at y = ``foot``, in pixels."""
    nearness = np.clip((foot - horizon) / max(1.0, height - horizon), 0.0, 1.2)
    return float(short * (0.12 + 0.3 * nearness))
