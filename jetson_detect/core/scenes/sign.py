"""Signs: a plate with a symbol on a pole."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes.arrays import Float, Image, to_bytes
from jetson_detect.core.scenes.colours import Colour, hsv, mix
from jetson_detect.core.scenes.light import shade
from jetson_detect.core.scenes.sprites import Canvas


def draw_sign(rng: np.random.Generator, canvas: Canvas, light: Float) -> None:
    """Draw a sign."""
    radius = rng.uniform(0.46, 0.62)
    top = -0.95
    squeeze = rng.uniform(0.72, 1.0)  # the plate is turned away from the viewer a little
    middle = top + radius
    thick = rng.uniform(0.035, 0.06)
    foot = rng.uniform(0.62, 0.95)

    across = canvas.x / np.float32(thick)
    nz = np.sqrt(np.clip(1.0 - across * across, 0.0, 1.0))
    grey = rng.uniform(110.0, 200.0)
    pole = np.broadcast_to(np.array((grey, grey, grey), np.float32), canvas.colour.shape)
    within = np.minimum(thick - np.abs(canvas.x), foot - canvas.y)
    within = np.minimum(within, canvas.y - np.float32(middle))
    normal = (across * 1.0, np.zeros_like(across), nz)
    lit = shade(np.asarray(pole, np.float32), normal, light, 0.3)
    canvas.over(lit, canvas.cover(within))

    shape = int(rng.integers(5))
    angles: NDArray[Any]
    if shape == 0:  # round
        angles = np.linspace(0.0, 2.0 * math.pi, 64, endpoint=False)
    elif shape == 1:  # triangle
        angles = -math.pi / 2.0 + np.arange(3) * (2.0 * math.pi / 3.0)
    elif shape == 2:  # octagon
        angles = math.pi / 8.0 + np.arange(8) * (math.pi / 4.0)
    elif shape == 3:  # diamond
        angles = np.arange(4) * (math.pi / 2.0)
    else:  # square
        angles = math.pi / 4.0 + np.arange(4) * (math.pi / 2.0)
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
    if shape == 1:
        outline = outline * 1.12 + [0.0, 0.17 * radius]

    white = (238.0, 240.0, 240.0)
    red = hsv(rng.uniform(-0.02, 0.02), 0.9, rng.uniform(0.65, 0.9))
    blue = hsv(rng.uniform(0.56, 0.63), 0.85, rng.uniform(0.5, 0.85))
    yellow = hsv(rng.uniform(0.11, 0.15), 0.9, rng.uniform(0.8, 1.0))
    green = hsv(rng.uniform(0.36, 0.42), 0.85, rng.uniform(0.4, 0.65))
    black = (30.0, 30.0, 30.0)
    schemes = (
        (red, white, black),
        (white, red, white),
        (white, blue, white),
        (black, yellow, black),
        (white, green, white),
    )
    border, field, symbol = schemes[int(rng.integers(len(schemes)))]

    def place(points: NDArray[Any]) -> NDArray[np.int32]:
        return canvas.art_points(points * [squeeze, 1.0] + [0.0, middle])

    def fill(art: Image, points: NDArray[Any], colour: Colour) -> None:
        cv2.fillPoly(art, [place(points)], (*colour, 255.0))

    art = canvas.art()
    fill(art, outline * 1.02, mix(border, black, 0.25))
    fill(art, outline * 0.98, border)
    centre = outline.mean(axis=0)
    fill(art, (outline - centre) * rng.uniform(0.72, 0.86) + centre, field)
    # Symbols, in units of the radius.
    bar = np.array([[-0.5, -0.13], [0.5, -0.13], [0.5, 0.13], [-0.5, 0.13]]) * radius
    kind = int(rng.integers(5))
    if kind == 0:
        fill(art, bar, symbol)
    elif kind == 1:  # arrow
        arrow = np.array(
            [
                [-0.12, 0.45],
                [-0.12, 0.0],
                [-0.32, 0.0],
                [0.0, -0.45],
                [0.32, 0.0],
                [0.12, 0.0],
                [0.12, 0.45],
            ]
        )
        angle = rng.choice([0.0, math.pi / 2.0, -math.pi / 2.0])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        fill(art, arrow @ turn * radius * 0.9, symbol)
    elif kind == 2:  # exclamation mark
        fill(
            art, np.array([[-0.1, -0.4], [0.1, -0.4], [0.06, 0.15], [-0.06, 0.15]]) * radius, symbol
        )
        fill(
            art, np.array([[-0.08, 0.24], [0.08, 0.24], [0.08, 0.4], [-0.08, 0.4]]) * radius, symbol
        )
    elif kind == 3:  # cross
        turn = np.array([[0.707, -0.707], [0.707, 0.707]])
        fill(art, bar @ turn, symbol)
        fill(art, bar @ turn.T, symbol)
    else:  # number
        text = str(int(rng.integers(1, 10))) + ("0" if rng.uniform() < 0.5 else "")
        size = 0.017 * canvas.side * radius
        weight = max(1, int(2.4 * size))
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, weight)
        spot = place(np.zeros((1, 2)))[0]
        origin = (int(spot[0] - wide // 2), int(spot[1] + high // 2))
        cv2.putText(art, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (*symbol, 255.0), weight)
    # A flat plate is lit evenly, with a soft reflection of the sky from the top down.
    gain = 0.62 + 0.42 * max(0.0, float(light[2]))
    sky = np.linspace(1.08, 0.9, art.shape[0], dtype=np.float32)[:, None, None]
    art[..., :3] = to_bytes(art[..., :3] * (np.float32(gain) * sky))
    canvas.over_art(art)
