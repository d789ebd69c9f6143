"""Light: from where it falls, how it shades a surface, how it spreads over a picture."""

from __future__ import annotations

import math

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Float, Image, to_bytes

LIGHT_UNIT = 128  # value in a light map that leaves the picture unchanged


def random_light(rng: np.random.Generator) -> Float:
    """Return a unit vector towards the light: x to the right, y down, z to the viewer."""
    vector = np.array(
        [rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.35), rng.uniform(0.4, 0.9)], np.float32
    )
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def shade(colour: Float, normal: tuple[Float, Float, Float], light: Float, gloss: float) -> Float:
    """Return ``colour`` ``(S, S, 3)`` lit from ``light``: ambient, diffuse, highlight, bounce."""
    nx, ny, nz = normal
    diffuse = np.clip(nx * light[0] + ny * light[1] + nz * light[2], 0.0, 1.0)
    # The half vector between the light and the viewer, who looks along -z.
    half = light + np.array([0.0, 0.0, 1.0], np.float32)
    half /= np.linalg.norm(half)
    highlight = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0.0, 1.0) ** 32
    bounce = 0.12 * np.clip(ny, 0.0, 1.0)
    gain = 0.34 + 0.78 * diffuse + bounce
    lit = colour * gain[..., None] + np.float32(255.0 * gloss) * highlight[..., None]
    return np.asarray(lit, dtype=np.float32)


def light_map(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return how bright the light is at each pixel, ``(H, W, 3)``, 128 leaves it unchanged."""
    columns, rows = 48, 36
    x, y = np.meshgrid(np.linspace(-1.0, 1.0, columns), np.linspace(-1.0, 1.0, rows))
    turn = rng.uniform(0.0, 2.0 * math.pi)
    gain = 1.0 + rng.uniform(0.0, 0.28) * (x * math.cos(turn) + y * math.sin(turn))
    gain -= rng.uniform(0.0, 0.12) * (x * x + y * y)  # the lens is darker in its corners
    if rng.uniform() < 0.4:  # a lamp
        spot = rng.uniform(-0.8, 0.8, 2)
        reach = rng.uniform(0.3, 0.7)
        distance = (x - spot[0]) ** 2 + (y - spot[1]) ** 2
        gain += rng.uniform(0.1, 0.35) * np.exp(-distance / reach**2)
    if rng.uniform() < 0.3:  # bars of shade, as from a window frame
        phase = (x * rng.uniform(0.6, 1.0) + y * rng.uniform(-0.6, 0.6)) * rng.uniform(3.0, 6.0)
        gain -= rng.uniform(0.06, 0.18) / (1.0 + np.exp(-9.0 * (np.sin(phase + turn) - 0.3)))
    tint = rng.uniform(0.93, 1.07, 3)
    small = to_bytes(LIGHT_UNIT * np.clip(gain, 0.4, 1.6)[..., None] * tint)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, dtype=np.uint8)
