"""Clutter: things that belong to no class."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Image
from jetson_detect.core.scenes.colours import Colour, hsv, mix, random_colour


@dataclass(frozen=True)
class _Spot:
    """Where a piece of clutter goes: the middle and the size in pixels, its colour."""

    x: float
    y: float
    size: float
    colour: Colour
    on_floor: bool
    short: int  # side of the image, in pixels


def _clutter_patch(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    corners = int(rng.integers(3, 8))
    angles = np.sort(rng.uniform(0.0, 2.0 * math.pi, corners))
    reach = spot.size * rng.uniform(0.4, 1.0, corners)
    flat = 0.4 if spot.on_floor else 1.0
    outline = [spot.x + reach * np.cos(angles), spot.y + flat * reach * np.sin(angles)]
    points = np.stack(outline, axis=1).astype(np.int32)
    cv2.fillPoly(image, [points], spot.colour, cv2.LINE_AA)


def _clutter_cable(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    steps = np.linspace(0.0, 1.0, 20)
    swing = rng.uniform(-1.0, 1.0, 4)
    x = spot.x + spot.size * (4.0 * (steps - 0.5) + swing[0] * np.sin(7.0 * steps + swing[1]))
    y = spot.y + spot.size * (swing[2] * steps + 0.5 * swing[3] * np.cos(6.0 * steps))
    points = np.stack([x, y], axis=1).astype(np.int32)
    thick = max(1, int(spot.short * rng.uniform(0.004, 0.014)))
    cv2.polylines(image, [points], False, spot.colour, thick, cv2.LINE_AA)


def _clutter_rug(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    axes = (max(2, int(spot.size)), max(1, int(spot.size * rng.uniform(0.2, 0.45))))
    angle = rng.uniform(-12.0, 12.0)
    middle = (int(spot.x), int(spot.y))
    cv2.ellipse(image, middle, axes, angle, 0, 360, spot.colour, -1, cv2.LINE_AA)
    inner = (max(1, int(axes[0] * 0.8)), max(1, int(axes[1] * 0.8)))
    tint = mix(spot.colour, random_colour(rng), 0.3)
    cv2.ellipse(image, middle, inner, angle, 0, 360, tint, -1, cv2.LINE_AA)


def _clutter_window(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    if spot.on_floor:
        return
    half_w, half_h = spot.size * rng.uniform(0.3, 0.8), spot.size * rng.uniform(0.3, 0.8)
    left, top = int(spot.x - half_w), int(spot.y - half_h)
    right, bottom = int(spot.x + half_w), int(spot.y + half_h)
    frame = mix(spot.colour, (20.0, 20.0, 20.0), 0.5)
    cv2.rectangle(image, (left, top), (right, bottom), frame, -1)
    rim = max(1, int(spot.size * 0.08))
    left, top, right, bottom = left + rim, top + rim, right - rim, bottom - rim
    if right > left and bottom > top:
        pane = mix(spot.colour, (235.0, 230.0, 220.0), 0.7)
        cv2.rectangle(image, (left, top), (right, bottom), pane, -1)
        middle = (left + right) // 2
        bar = max(1, rim // 2)
        cv2.line(image, (middle, top), (middle, bottom), spot.colour, bar)


def _clutter_shelf(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    long = spot.size * rng.uniform(1.0, 2.2)
    thin = max(2.0, spot.size * rng.uniform(0.05, 0.12))
    left, right = int(spot.x - long / 2), int(spot.x + long / 2)
    top, bottom = int(spot.y), int(spot.y + thin)
    cv2.rectangle(image, (left, top), (right, bottom), spot.colour, -1)
    edge = mix(spot.colour, (10.0, 10.0, 10.0), 0.5)
    cv2.line(image, (left, bottom), (right, bottom), edge, max(1, int(thin / 4)))


def _clutter_plant(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    leaf = hsv(rng.uniform(0.2, 0.42), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.7))
    for angle in rng.uniform(-160.0, -20.0, int(rng.integers(4, 10))):
        reach = spot.size * rng.uniform(0.25, 0.5)
        turn = math.radians(float(angle))
        middle = (int(spot.x + reach * math.cos(turn)), int(spot.y + reach * math.sin(turn)))
        axes = (max(2, int(reach)), max(1, int(reach * 0.16)))
        shade = mix(leaf, (20.0, 30.0, 20.0), rng.uniform(0.0, 0.5))
        cv2.ellipse(image, middle, axes, float(angle), 0, 360, shade, -1, cv2.LINE_AA)


def _clutter_ring(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    axes = (max(3, int(spot.size * 0.5)), max(2, int(spot.size * rng.uniform(0.15, 0.5))))
    thick = max(1, int(spot.size * rng.uniform(0.05, 0.12)))
    angle = rng.uniform(0.0, 180.0)
    middle = (int(spot.x), int(spot.y))
    cv2.ellipse(image, middle, axes, angle, 0, 360, spot.colour, thick, cv2.LINE_AA)


def _clutter_star(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    angles = np.arange(10) * (math.pi / 5.0) + rng.uniform(0.0, 1.0)
    reach = spot.size * np.where(np.arange(10) % 2 == 0, 0.5, 0.22)
    outline = [spot.x + reach * np.cos(angles), spot.y + reach * np.sin(angles)]
    points = np.stack(outline, axis=1).astype(np.int32)
    cv2.fillPoly(image, [points], spot.colour, cv2.LINE_AA)


def _clutter_sticks(rng: np.random.Generator, image: Image, spot: _Spot) -> None:
    for _ in range(int(rng.integers(1, 4))):
        turn = rng.uniform(0.0, math.pi)
        ahead = np.array([math.cos(turn), math.sin(turn)]) * spot.size * rng.uniform(0.4, 0.9)
        middle = np.array([spot.x, spot.y]) + rng.uniform(-0.3, 0.3, 2) * spot.size
        first_x, first_y = (int(value) for value in middle - ahead)
        second_x, second_y = (int(value) for value in middle + ahead)
        thick = max(1, int(spot.size * rng.uniform(0.03, 0.1)))
        first, second = (first_x, first_y), (second_x, second_y)
        cv2.line(image, first, second, spot.colour, thick, cv2.LINE_AA)


_CLUTTER: tuple[Callable[[np.random.Generator, Image, _Spot], None], ...] = (
    _clutter_patch,
    _clutter_cable,
    _clutter_rug,
    _clutter_window,
    _clutter_shelf,
    _clutter_plant,
    _clutter_ring,
    _clutter_star,
    _clutter_sticks,
)


def scatter_clutter(rng: np.random.Generator, image: Image, horizon: float, count: int) -> None:
    """Draw things that belong to no class into ``image``."""
    height, width = image.shape[:2]
    short = min(width, height)
    for _ in range(count):
        x, y = rng.uniform(0.0, width), rng.uniform(0.0, height)
        size = short * rng.uniform(0.05, 0.3)
        colour = random_colour(rng, (0.05, 0.8), (0.15, 0.95))
        draw = _CLUTTER[int(rng.integers(len(_CLUTTER)))]
        draw(rng, image, _Spot(x, y, size, colour, y > horizon, short))
