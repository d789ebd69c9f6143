"""One object of any class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jetson_detect.core.scenes.arrays import Float
from jetson_detect.core.scenes.ball import draw_ball
from jetson_detect.core.scenes.box import draw_box
from jetson_detect.core.scenes.noise import smooth_noise
from jetson_detect.core.scenes.revolved import draw_bottle, draw_cone, draw_cup
from jetson_detect.core.scenes.sign import draw_sign
from jetson_detect.core.scenes.sprites import Canvas, Sprite

_Renderer = Callable[[np.random.Generator, Canvas, Float], None]

_RENDERERS: tuple[_Renderer, ...] = (
    draw_ball,
    draw_box,
    draw_cone,
    draw_cup,
    draw_bottle,
    draw_sign,
)


def render_sprite(rng: np.random.Generator, class_id: int, side: int, light: Float) -> Sprite:
    """Return an object of class ``class_id`` with random features, ``side`` pixels large."""
    canvas = Canvas(side)
    _RENDERERS[class_id](rng, canvas, light)
    # Wear and dirt, so that no surface is perfectly even.
    dirt = 1.0 + rng.uniform(0.01, 0.07) * smooth_noise(rng, side, side, 5, 3)
    canvas.colour *= dirt[..., None]
    return canvas.sprite()
