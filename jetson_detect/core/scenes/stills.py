"""Stills: pictures that have nothing to do with each other."""

from __future__ import annotations

import math

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Image
from jetson_detect.core.scenes.backgrounds import draw_background
from jetson_detect.core.scenes.composition import Actor, compose
from jetson_detect.core.scenes.light import LIGHT_UNIT, light_map, random_light
from jetson_detect.core.scenes.objects import render_sprite
from jetson_detect.core.scenes.placement import Placement, perspective_size
from jetson_detect.core.scenes.scene import CLASS_NAMES, Scene, check_size


def _motion_blur(image: Image, length: int, angle: float) -> Image:
    """Return ``image`` as if the camera had moved by ``length`` pixels during the exposure."""
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2.0
    ahead = np.array([math.cos(angle), math.sin(angle)]) * middle
    first = (round(middle - float(ahead[0])), round(middle - float(ahead[1])))
    second = (round(middle + float(ahead[0])), round(middle + float(ahead[1])))
    cv2.line(kernel, first, second, 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), dtype=np.uint8)


def _random_placement(
    rng: np.random.Generator, width: int, height: int, horizon: float, shadow: float
) -> Placement:
    """Return a place for an object in a still."""
    short = min(width, height)
    if rng.uniform() < 0.7:  # it stands on the floor
        foot = rng.uniform(min(horizon + 0.08 * height, 0.9 * height), 1.08 * height)
        size = perspective_size(foot, horizon, height, short) * math.exp(rng.normal(0.0, 0.35))
        lift = rng.uniform(0.0, 0.3) * size if rng.uniform() < 0.15 else 0.0
        lean = rng.normal(0.0, 5.0)
    else:  # it may be anywhere, as if it was held up or lay on a table
        size = short * math.exp(rng.uniform(math.log(0.09), math.log(0.6)))
        foot = rng.uniform(0.0, 1.0) * height + size / 2.0
        lift, lean = 0.0, rng.normal(0.0, 12.0)
    size = float(np.clip(size, 0.08 * short, 0.7 * short))
    return Placement(
        x=rng.uniform(-0.02, 1.02) * width,
        y=foot - size / 2.0 - lift,
        size=size,
        angle=float(np.clip(lean, -35.0, 35.0)),
        shadow=shadow if rng.uniform() < 0.85 else 0.0,
        lift=lift,
    )


def _hides(first: Placement, second: Placement) -> bool:
    """Return whether one of two objects may hide most of the other."""
    distance = math.hypot(first.x - second.x, first.y - second.y)
    return distance < 0.42 * max(first.size, second.size)


def draw_scene(rng: np.random.Generator, width: int, height: int, max_objects: int = 6) -> Scene:
    """Draw one still.

    Args:
        rng: source of all chance; the same state draws the same picture.
        width: of the picture, in pixels, at least 32.
        height: of the picture, in pixels, at least 32.
        max_objects: most objects that are drawn; some pictures have none.

    Returns:
        The picture with the truth about it. Object ids count from 0 in a still.

    Raises:
        ValueError: the picture is too small or ``max_objects`` is negative.
    """
    check_size(width, height)
    if max_objects < 0:
        raise ValueError(f"max_objects must not be negative, got {max_objects}")
    short = min(width, height)
    background = draw_background(rng, width, height)
    image = background.image
    light = random_light(rng)
    empty = rng.uniform() < 0.06
    count = 0 if empty or max_objects == 0 else int(rng.integers(1, max_objects + 1))
    shadow = rng.uniform(0.15, 0.7)
    places: list[Placement] = []
    for _ in range(count):
        place = _random_placement(rng, width, height, background.horizon, shadow)
        for _ in range(5):
            # What would be hidden almost completely is put elsewhere, unless it is crowded.
            if not any(_hides(place, other) for other in places):
                break
            place = _random_placement(rng, width, height, background.horizon, shadow)
        places.append(place)
    places.sort(key=lambda place: place.y + place.size / 2.0 + place.lift)
    actors = []
    for number, place in enumerate(places):
        class_id = int(rng.integers(len(CLASS_NAMES)))
        # A larger picture than the object needs would only take time.
        side = int(np.clip(place.size * rng.uniform(1.0, 1.4), 48, 288))
        sprite = render_sprite(rng, class_id, side, light)
        actors.append(Actor(number, class_id, sprite, place))
    boxes, class_ids, object_ids = compose(image, actors, light)

    lit = cv2.multiply(
        image, light_map(rng, width, height), scale=rng.uniform(0.75, 1.25) / LIGHT_UNIT
    )
    image = np.asarray(lit, dtype=np.uint8)
    chance = rng.uniform()
    if chance < 0.25:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), short / 480.0 * rng.uniform(0.5, 1.8)), np.uint8
        )
    elif chance < 0.45:
        length = max(3, int(short / 480.0 * rng.uniform(3.0, 11.0)))
        image = _motion_blur(image, length, rng.uniform(0.0, math.pi))
    if rng.uniform() < 0.8:
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        amount = rng.uniform(0.01, 0.1)
        image = np.asarray(
            cv2.addWeighted(image, 1.0, noise, amount, -128.0 * amount), dtype=np.uint8
        )
    if rng.uniform() < 0.2:
        quality = int(rng.integers(35, 90))
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
    return Scene(image, boxes, class_ids, object_ids)
