"""Colours: BGR, 0 to 255."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the BGR colour (0..255) of a hue in turns, a saturation and a value in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return (255.0 * blue, 255.0 * green, 255.0 * red)


def random_colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.35, 0.95),
    value: tuple[float, float] = (0.35, 0.95),
) -> Colour:
    """Return a BGR colour of any hue."""
    return hsv(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value))


def mix(first: Colour, second: Colour, weight: float) -> Colour:
    """Return ``first`` moved towards ``second`` by ``weight`` in 0..1."""
    blue, green, red = (a + (b - a) * weight for a, b in zip(first, second))
    return (blue, green, red)
