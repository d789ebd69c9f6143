"""Backgrounds: a room, a yard or a plain studio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes.arrays import Image, to_bytes
from jetson_detect.core.scenes.clutter import scatter_clutter
from jetson_detect.core.scenes.colours import Colour, hsv, mix, random_colour
from jetson_detect.core.scenes.noise import smooth_noise


@dataclass(frozen=True, eq=False)
class Background:
    """A picture without objects.

    Attributes:
        image: ``(H, W, 3)`` ``uint8`` BGR.
        horizon: y at which the floor begins, in pixels.
    """

    image: Image
    horizon: float


def _floor_texture(rng: np.random.Generator, side: int = 256) -> Image:
    """Return a floor seen from above, ``(side, side, 3)`` ``uint8`` BGR."""
    base = np.array(random_colour(rng, (0.05, 0.5), (0.3, 0.8)), np.float32)
    texture: NDArray[Any] = np.broadcast_to(base, (side, side, 3)).astype(np.float32)
    style = int(rng.integers(5))
    if style == 0:  # tiles
        other = np.array(mix(_to_tuple(base), random_colour(rng), rng.uniform(0.1, 0.6)))
        count = int(rng.choice([4, 8]))
        cell = side // count
        rows, columns = np.indices((side, side)) // cell
        texture = np.where(((rows + columns) % 2 == 0)[..., None], texture, other)
        tone = rng.uniform(0.92, 1.08, (count, count))
        texture = texture * tone[rows, columns][..., None]
        edge = (np.indices((side, side)) % cell < 2).any(axis=0)
        texture[edge] *= rng.uniform(0.6, 0.9)
    elif style == 1:  # planks
        count = int(rng.integers(6, 14))
        rows = np.arange(side) * count // side
        tone = rng.uniform(0.8, 1.15, count)[rows]
        wood = np.array(hsv(rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.8)))
        grain = cv2.resize(smooth_noise(rng, side, side, 24, 2), (side, side))
        grain = cv2.blur(grain, (41, 1)) * 0.25
        texture = np.broadcast_to(wood, (side, side, 3)) * (tone[:, None] + grain)[..., None]
        seams = np.flatnonzero(np.diff(rows, prepend=-1))
        texture[seams] *= 0.6
    elif style == 2:  # carpet
        texture = texture + rng.normal(0.0, 14.0, (side, side, 1))
    elif style == 3:  # grass or gravel
        hue = rng.uniform(0.2, 0.35) if rng.uniform() < 0.6 else rng.uniform(0.05, 0.12)
        ground = np.array(hsv(hue, rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.65)))
        texture = ground + 38.0 * smooth_noise(rng, side, side, 40, 2)[..., None]
    texture = texture * (1.0 + 0.12 * smooth_noise(rng, side, side, 4, 3)[..., None])
    return to_bytes(np.asarray(texture))


def _to_tuple(colour: NDArray[Any]) -> Colour:
    """Return a colour ``(3,)`` as a tuple of Python floats."""
    return (float(colour[0]), float(colour[1]), float(colour[2]))


def _paint_wall(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return a wall, ``(height, width, 3)`` ``uint8`` BGR."""
    first = random_colour(rng, (0.0, 0.5), (0.35, 0.95))
    second = mix(first, random_colour(rng, (0.1, 0.6), (0.2, 0.9)), rng.uniform(0.1, 0.5))
    ramp = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    low, high = np.array(first, np.float32), np.array(second, np.float32)
    wall = np.broadcast_to(low + (high - low) * ramp, (height, width, 3)).astype(np.float32)
    style = int(rng.integers(5))
    if style == 0:  # wallpaper
        period = max(4, int(width * rng.uniform(0.03, 0.12)))
        stripe = (np.arange(width) % period < period * rng.uniform(0.3, 0.7)).astype(np.float32)
        wall *= (1.0 - rng.uniform(0.04, 0.15) * stripe)[None, :, None]
    elif style == 1:  # bricks
        tall = max(3, int(width * rng.uniform(0.03, 0.06)))
        wide = int(tall * rng.uniform(2.0, 2.8))
        rows = np.arange(height) // tall
        columns = (np.arange(width)[None, :] + (rows % 2)[:, None] * (wide // 2)) // wide
        tone = rng.uniform(0.82, 1.12, (int(rows[-1]) + 1, int(columns.max()) + 1))
        wall *= tone[rows[:, None], columns].astype(np.float32)[..., None]
        joint = max(1, tall // 9)
        wall[np.arange(height) % tall < joint] *= 1.15
    elif style == 2:  # panels
        period = max(8, int(width * rng.uniform(0.12, 0.3)))
        wall[:, np.arange(width) % period < max(1, width // 250)] *= 0.7
        wall[:, np.arange(width) % period == max(1, width // 250)] *= 1.1
    wall += rng.uniform(4.0, 22.0) * smooth_noise(rng, width, height, 4, 3)[..., None]
    return to_bytes(wall)


def _paint_sky(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return a sky with hills before it, ``(height, width, 3)`` ``uint8`` BGR."""
    hue = rng.uniform(0.53, 0.62)
    zenith = np.array(hsv(hue, rng.uniform(0.1, 0.6), rng.uniform(0.6, 0.95)), np.float32)
    haze = np.array(hsv(rng.uniform(), rng.uniform(0.0, 0.2), rng.uniform(0.75, 1.0)), np.float32)
    ramp = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    sky = np.broadcast_to(zenith + (haze - zenith) * ramp, (height, width, 3)).astype(np.float32)
    clouds = np.clip(smooth_noise(rng, width, height, 5, 4), 0.0, 1.0)[..., None]
    sky += (250.0 - sky) * clouds * rng.uniform(0.2, 0.8)
    picture = to_bytes(sky)
    for layer in range(int(rng.integers(1, 4))):
        points = 24
        ridge = cv2.resize(
            rng.uniform(0.0, 1.0, (1, 6)).astype(np.float32),
            (points, 1),
            interpolation=cv2.INTER_CUBIC,
        )[0]
        rise = height * (0.55 + 0.12 * layer + rng.uniform(0.0, 0.3) * (1.0 - ridge))
        edge = np.stack([np.linspace(0.0, width, points), rise], axis=1)
        hill = np.concatenate([edge, [[width, height], [0.0, height]]]).astype(np.int32)
        tone = hsv(rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.5), rng.uniform(0.25, 0.6))
        cv2.fillPoly(picture, [hill], tone, cv2.LINE_AA)
    return picture


def draw_background(rng: np.random.Generator, width: int, height: int) -> Background:
    """Return a room, a yard or a studio with clutter in it."""
    kind = rng.uniform()
    if kind < 0.12:  # studio: soft blobs all over
        base = np.array(random_colour(rng, (0.0, 0.7), (0.2, 0.95)), np.float32)
        blobs = smooth_noise(rng, width, height, 4, 3)
        tint = smooth_noise(rng, width, height, 3, 2)
        pull = np.array(random_colour(rng), np.float32) - base
        picture = base + 24.0 * blobs[..., None] + 0.4 * tint[..., None] * pull
        image, horizon = to_bytes(picture), 0.25 * height
    else:
        horizon = height * rng.uniform(0.22, 0.5)
        outdoors = kind > 0.7
        edge = int(horizon)
        image = np.empty((height, width, 3), np.uint8)
        paint = _paint_sky if outdoors else _paint_wall
        image[:edge] = paint(rng, width, edge)
        texture = _floor_texture(rng)
        # Mirrored at its edges, a texture continues without a seam.
        texture = np.concatenate([texture, texture[:, ::-1], texture], axis=1)
        texture = np.concatenate([texture, texture[::-1], texture], axis=0)
        side = float(texture.shape[0] - 1)
        spread = rng.uniform(0.8, 2.0)
        skew = rng.uniform(-0.5, 0.5) * width
        source = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
        target = np.array(
            [
                [-0.3 * width, 0.0],
                [1.3 * width, 0.0],
                [(1.0 + spread) * width + skew, height - edge],
                [-spread * width + skew, height - edge],
            ],
            np.float32,
        )
        matrix = cv2.getPerspectiveTransform(source, target)
        floor = cv2.warpPerspective(texture, matrix, (width, height - edge))
        # Far away the pattern is too fine to be seen: fade it into its mean colour.
        mean = np.array(cv2.mean(texture)[:3])
        fade = np.clip(np.linspace(1.0, -0.8, height - edge), 0.0, 1.0)[:, None, None]
        image[edge:] = to_bytes(floor + (mean - floor) * fade)
        if not outdoors and rng.uniform() < 0.7:  # skirting board
            thick = max(2, int(height * rng.uniform(0.01, 0.04)))
            board = random_colour(rng, (0.0, 0.4), (0.15, 0.95))
            cv2.rectangle(image, (0, edge - thick), (width, edge), board, -1)
            cv2.line(image, (0, edge), (width, edge), mix(board, (0.0, 0.0, 0.0), 0.6), 1)
    scatter_clutter(rng, image, horizon, int(rng.integers(0, 10)))
    return Background(image, horizon)
