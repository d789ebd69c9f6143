"""Solids of revolution around an upright axis: cones, cups and bottles."""

from __future__ import annotations

import math

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Float
from jetson_detect.core.scenes.colours import hsv, random_colour
from jetson_detect.core.scenes.light import shade
from jetson_detect.core.scenes.sprites import Canvas


def _revolve(
    canvas: Canvas, heights: list[float], radii: list[float], tilt: float
) -> tuple[Float, Float, tuple[Float, Float, Float]]:
    """Trace a solid of revolution around the vertical axis, seen from a little above.

    Args:
        canvas: gives the coordinates.
        heights: y of the points of the profile, increasing (y points down).
        radii: radius at each of these heights.
        tilt: ratio of the axes of the ellipse as which a horizontal circle appears.

    Returns:
        The alpha ``(S, S)``, the height on the axis of the visible surface ``(S, S)``, and its
        normal as three arrays ``(S, S)``.
    """
    samples = 1024
    axis = np.linspace(-1.2, 1.2, samples)
    table = np.interp(axis, heights, radii).astype(np.float32)
    slopes = np.clip(np.gradient(table, axis), -1.5, 1.5).astype(np.float32)
    factor = np.float32((samples - 1) / 2.4)
    square = canvas.x * canvas.x
    height = canvas.y
    for _ in range(4):  # the front of the solid hangs below the axis by tilt * depth
        index = np.clip((height + 1.2) * factor, 0, samples - 1).astype(np.int32)
        radius = table[index]
        depth = np.sqrt(np.clip(radius * radius - square, 0.0, None))
        height = canvas.y - np.float32(tilt) * depth
    inside = np.minimum(radius - np.abs(canvas.x), heights[-1] - height)
    alpha = canvas.cover(np.minimum(inside, height - heights[0]))
    slope = slopes[index]
    norm = 1.0 / np.sqrt(1.0 + slope * slope)
    safe = np.maximum(radius, 1e-3)
    nx = np.clip(canvas.x / safe, -1.0, 1.0) * norm
    nz = np.clip(depth / safe, 0.0, 1.0) * norm
    return alpha, np.asarray(height, np.float32), (nx, -slope * norm, nz)


def draw_cone(rng: np.random.Generator, canvas: Canvas, light: Float) -> None:
    """Draw a traffic cone on its foot."""
    tilt = rng.uniform(0.15, 0.38)
    hue = rng.uniform(0.0, 0.07) if rng.uniform() < 0.75 else rng.uniform(0.1, 0.65)
    body = np.array(hsv(hue, rng.uniform(0.75, 1.0), rng.uniform(0.75, 1.0)), np.float32)
    stripe = np.array(hsv(0.15, rng.uniform(0.0, 0.2), rng.uniform(0.85, 1.0)), np.float32)
    radius = rng.uniform(0.42, 0.6)
    bottom = 0.62
    top = rng.uniform(-0.93, -0.75)
    tip = rng.uniform(0.05, 0.09)

    # The foot is a slab: a square turned by a random angle, squeezed by the view from above.
    turn = rng.uniform(0.0, math.pi / 2.0)
    reach = radius * rng.uniform(1.4, 1.55)
    angles = turn + np.arange(4) * (math.pi / 2.0)
    foot = np.stack([reach * np.cos(angles), bottom + tilt * reach * np.sin(angles)], axis=1)
    thick = rng.uniform(0.05, 0.09)
    art = canvas.art()
    foot_colour = np.array((45.0, 42.0, 42.0)) if rng.uniform() < 0.5 else body * 0.9
    below = foot + np.array([0.0, thick])
    hull = cv2.convexHull(canvas.art_points(np.concatenate([foot, below])))
    cv2.fillConvexPoly(art, hull, (*(0.55 * foot_colour).tolist(), 255.0))
    cv2.fillConvexPoly(art, canvas.art_points(foot), (*foot_colour.tolist(), 255.0))
    canvas.over_art(art)

    alpha, height, normal = _revolve(canvas, [top, bottom], [tip, radius], tilt)
    share = (height - top) / (bottom - top)
    bands = int(rng.integers(0, 3)) if rng.uniform() < 0.3 else int(rng.integers(1, 3))
    start, width = rng.uniform(0.22, 0.36), rng.uniform(0.12, 0.2)
    mark = np.zeros_like(share)
    for band in range(bands):
        middle = start + width / 2.0 + band * width * 1.9
        mark = np.maximum(mark, canvas.cover((width / 2.0 - np.abs(share - middle)) * 1.5))
    colour = body + (stripe - body) * mark[..., None]
    canvas.over(shade(np.asarray(colour, np.float32), normal, light, 0.15), alpha)
    hole = tip - np.hypot(canvas.x, (canvas.y - np.float32(top)) / np.float32(max(tilt, 0.2)))
    canvas.over(body * 0.35, canvas.cover(hole))


def draw_cup(rng: np.random.Generator, canvas: Canvas, light: Float) -> None:
    """Draw a cup: a mug with a handle or a paper cup."""
    tilt = rng.uniform(0.16, 0.4)
    paper = rng.uniform() < 0.25
    rim = rng.uniform(0.5, 0.62)
    base = rim * (rng.uniform(0.66, 0.78) if paper else rng.uniform(0.78, 1.0))
    top, bottom = -rng.uniform(0.5, 0.66), rng.uniform(0.52, 0.66)
    if paper:
        top, bottom = top - 0.12, bottom + 0.08
    body = np.array(random_colour(rng, (0.0, 0.9), (0.55, 1.0)), np.float32)
    trim = np.array(random_colour(rng, (0.3, 1.0), (0.3, 0.95)), np.float32)
    if not paper:
        side = -1.0 if rng.uniform() < 0.5 else 1.0
        middle_x, middle_y = side * (rim + base) / 2.0, (top + bottom) / 2.0 + 0.08
        reach_x, reach_y = rng.uniform(0.22, 0.36), rng.uniform(0.28, 0.4)
        thick = rng.uniform(0.055, 0.085)
        dx, dy = (canvas.x - middle_x) / reach_x, (canvas.y - middle_y) / reach_y
        ring = np.hypot(dx, dy) + 1e-6
        across = (ring - 1.0) * np.float32((reach_x + reach_y) / 2.0) / thick
        nz = np.sqrt(np.clip(1.0 - across * across, 0.0, 1.0))
        normal = (across * dx / ring, across * dy / ring, nz)
        colour = np.broadcast_to(body, canvas.colour.shape)
        lit = shade(np.asarray(colour, np.float32), normal, light, 0.3)
        canvas.over(lit, canvas.cover(thick * (1.0 - np.abs(across))))
    soft = 0.06  # rounds the lower edge
    alpha, height, normal = _revolve(
        canvas, [top, bottom - soft, bottom], [rim, base, base * 0.93], tilt
    )
    share = (height - top) / (bottom - top)
    style = int(rng.integers(5))
    if style == 0:
        mark = np.zeros_like(share)
    elif style == 1:  # one band
        middle = rng.uniform(0.3, 0.7)
        mark = canvas.cover(rng.uniform(0.07, 0.2) - np.abs(share - middle))
    elif style == 2:  # dipped in a second colour
        mark = canvas.cover(share - rng.uniform(0.45, 0.65))
    elif style == 3:  # hoops
        mark = np.asarray((np.sin(share * rng.uniform(18.0, 30.0)) > 0.3), np.float32)
    else:  # a round badge on the front
        spot = rng.uniform(0.16, 0.28) - np.hypot(canvas.x - rng.uniform(-0.2, 0.2), share - 0.5)
        mark = canvas.cover(spot)
    colour = body + (trim - body) * mark[..., None]
    gloss = 0.1 if paper else rng.uniform(0.25, 0.5)
    canvas.over(shade(np.asarray(colour, np.float32), normal, light, gloss), alpha)

    # The opening: a bright rim, the far wall inside, and perhaps something to drink.
    lip = np.hypot(canvas.x, (canvas.y - np.float32(top)) / np.float32(tilt))
    canvas.over(np.minimum(body * 1.12 + 12.0, 255.0), canvas.cover((rim - lip) * tilt))
    inner = rim * 0.9
    mouth = canvas.cover((inner - lip) * tilt)
    lining = body if rng.uniform() < 0.5 else np.array((215.0, 222.0, 225.0), np.float32)
    fall = 0.62 - 0.3 * np.sign(light[0]) * canvas.x / inner - 0.5 * (canvas.y - top)
    canvas.over(lining * np.clip(fall, 0.15, 0.95)[..., None], mouth)
    if rng.uniform() < 0.6:
        level = top + rng.uniform(0.06, 0.16)
        surface = np.hypot(canvas.x, (canvas.y - np.float32(level)) / np.float32(tilt))
        drinks = ((18.0, 32.0, 62.0), (40.0, 90.0, 150.0), (120.0, 150.0, 175.0))
        drink = np.array(drinks[int(rng.integers(len(drinks)))], np.float32)
        canvas.over(drink, canvas.cover((inner * 0.97 - surface) * tilt) * mouth)


def draw_bottle(rng: np.random.Generator, canvas: Canvas, light: Float) -> None:
    """Draw a bottle, full or empty."""
    tilt = rng.uniform(0.1, 0.26)
    radius = rng.uniform(0.24, 0.4)
    neck = radius * rng.uniform(0.3, 0.46)
    bottom = 0.95 - tilt * radius
    top = -0.94
    cap = top + rng.uniform(0.1, 0.17)
    shoulder_top = cap + rng.uniform(0.05, 0.32)
    shoulder_bottom = shoulder_top + rng.uniform(0.18, 0.42)
    heights, radii = [top, cap, cap + 0.005], [neck * 1.2, neck * 1.22, neck]
    for share in np.linspace(0.0, 1.0, 9):
        heights.append(float(shoulder_top + share * (shoulder_bottom - shoulder_top)))
        radii.append(float(neck + (radius - neck) * (0.5 - 0.5 * math.cos(math.pi * share))))
    waist = radius * (rng.uniform(0.82, 0.94) if rng.uniform() < 0.3 else 1.0)
    heights += [(shoulder_bottom + bottom) / 2.0, bottom - 0.07, bottom]
    radii += [waist, radius, radius * 0.88]
    alpha, height, normal = _revolve(canvas, heights, radii, tilt)

    hue = (rng.uniform(0.25, 0.45), rng.uniform(0.5, 0.62), rng.uniform(0.04, 0.1), rng.uniform())
    glass = np.array(
        hsv(hue[int(rng.integers(4))], rng.uniform(0.15, 0.85), rng.uniform(0.35, 0.95)),
        np.float32,
    )
    colour = np.broadcast_to(glass, canvas.colour.shape).astype(np.float32)
    if rng.uniform() < 0.6:  # what is inside, darker up to its level
        level = rng.uniform(shoulder_top, shoulder_bottom + 0.3)
        colour *= 1.0 - rng.uniform(0.15, 0.45) * canvas.cover(height - level)[..., None]
    # Glass is darkest where one looks along its wall, and bright just inside of it.
    grazing = 1.0 - normal[2]
    colour *= (1.0 + 0.35 * np.sin(grazing * 5.0) - 0.45 * grazing**3)[..., None]
    if rng.uniform() < 0.75:
        middle = rng.uniform(0.3, 0.7) * (bottom - shoulder_bottom) + shoulder_bottom
        half = rng.uniform(0.1, 0.24)
        paper = np.array(random_colour(rng, (0.0, 0.8), (0.6, 1.0)), np.float32)
        ink = np.array(random_colour(rng, (0.4, 1.0), (0.2, 0.7)), np.float32)
        where = canvas.cover(half - np.abs(height - middle))[..., None]
        line = np.maximum(
            canvas.cover(half * 0.16 - np.abs(height - middle - half * 0.45)),
            canvas.cover(radius * 0.35 - np.hypot(canvas.x, height - middle + half * 0.25)),
        )[..., None]
        label = paper + (ink - paper) * line
        colour = colour + (label - colour) * where
    lid = np.array(random_colour(rng, (0.0, 1.0), (0.2, 1.0)), np.float32)
    ridges = 0.9 + 0.1 * np.sin(np.arcsin(np.clip(normal[0], -1.0, 1.0)) * 22.0)
    on_lid = canvas.cover(cap - height)[..., None]
    capped = colour + (lid * ridges[..., None] - colour) * on_lid
    lit = shade(np.asarray(capped, np.float32), normal, light, rng.uniform(0.35, 0.8))
    # A window mirrored in the side, which tells glass from paper.
    streak = np.exp(-(((normal[0] - 0.55 * np.sign(light[0])) / 0.09) ** 2)) * (
        1.0 - on_lid[..., 0]
    )
    lit += (rng.uniform(20.0, 90.0) * streak)[..., None]
    canvas.over(lit, alpha)
    cap_lid = neck * 1.2 - np.hypot(canvas.x, (canvas.y - np.float32(top)) / np.float32(tilt))
    canvas.over(lid * 1.1, canvas.cover(cap_lid * tilt))
