"""Balls, plain and patterned."""

from __future__ import annotations

import math

import numpy as np

from jetson_detect.core.scenes.arrays import Float
from jetson_detect.core.scenes.colours import hsv, random_colour
from jetson_detect.core.scenes.light import shade
from jetson_detect.core.scenes.sprites import Canvas


def _rotation(rng: np.random.Generator) -> Float:
    """Return a random ``(3, 3)`` rotation matrix."""
    basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(basis, dtype=np.float32)


def _icosahedron() -> Float:
    """Return the 12 corners of an icosahedron on the unit sphere, ``(12, 3)`` ``float32``."""
    golden = (1.0 + math.sqrt(5.0)) / 2.0
    corners = [
        np.roll([0.0, first, second], shift)
        for first in (-1.0, 1.0)
        for second in (-golden, golden)
        for shift in range(3)
    ]
    return np.asarray(np.array(corners) / math.hypot(1.0, golden), dtype=np.float32)


def draw_ball(rng: np.random.Generator, canvas: Canvas, light: Float) -> None:
    """Draw a ball with a pattern of its own."""
    radius = np.float32(0.95)
    nx, ny = canvas.x / radius, canvas.y / radius
    nz = np.sqrt(np.clip(1.0 - nx * nx - ny * ny, 0.0, 1.0))
    alpha = canvas.cover(radius - np.hypot(canvas.x, canvas.y))
    turn = _rotation(rng)
    mx, my, mz = (row[0] * nx + row[1] * ny + row[2] * nz for row in turn)
    style = int(rng.integers(7))
    first = np.array(random_colour(rng, (0.6, 1.0), (0.55, 1.0)), np.float32)
    second = np.array(random_colour(rng, (0.0, 0.9), (0.6, 1.0)), np.float32)
    white = np.array((235.0, 240.0, 240.0), np.float32)
    dark = np.array((30.0, 28.0, 28.0), np.float32)
    if style == 0:  # plain, with one band
        mark = canvas.cover((rng.uniform(0.1, 0.25) - np.abs(mz)) * radius)
    elif style == 1:  # beach ball
        count = int(rng.integers(3, 5)) * 2
        mark = (np.floor(np.arctan2(my, mx) * (count / (2.0 * np.pi))) % 2).astype(np.float32)
        second = white if rng.uniform() < 0.6 else second
    elif style == 2:  # football
        nearest = np.max(np.stack([mx, my, mz], axis=-1) @ _icosahedron().T, axis=-1)
        mark = canvas.cover((nearest - 0.91) * 2.0)
        first, second = white, (dark if rng.uniform() < 0.7 else second)
    elif style == 3:  # tennis ball
        seam = np.abs(mz - 0.5 * (mx * mx - my * my))
        mark = canvas.cover(0.05 - seam)
        first, second = np.array(hsv(rng.uniform(0.16, 0.24), 0.75, 0.9), np.float32), white
    elif style == 4:  # basketball
        lines = np.minimum(np.minimum(np.abs(mx), np.abs(my)), np.abs(np.abs(mz) - 0.6))
        mark = canvas.cover(0.028 - lines)
        first, second = np.array(hsv(rng.uniform(0.03, 0.08), 0.85, 0.85), np.float32), dark
    elif style == 5:  # two halves
        mark = canvas.cover(mz)
    else:  # marble
        wave = np.sin(4.0 * mx + 3.0 * np.sin(3.0 * my + 2.0 * mz))
        mark = np.asarray(0.5 + 0.5 * wave, dtype=np.float32)
    colour = first + (second - first) * mark[..., None]
    lit = shade(np.asarray(colour, np.float32), (nx, ny, nz), light, rng.uniform(0.1, 0.6))
    canvas.over(lit, alpha)
