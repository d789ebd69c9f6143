"""Moving sequences: the same objects from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Image
from jetson_detect.core.scenes.backgrounds import draw_background
from jetson_detect.core.scenes.composition import Actor, compose
from jetson_detect.core.scenes.light import LIGHT_UNIT, light_map, random_light
from jetson_detect.core.scenes.objects import render_sprite
from jetson_detect.core.scenes.placement import Placement, perspective_size
from jetson_detect.core.scenes.scene import CLASS_NAMES, Scene, check_size

_CYCLE = 100  # frames from one empty stretch to the next
_EMPTY = 8  # frames without any object
_EXIT = 18  # frames in which the objects leave, and in which others come in
_CAST = 2 * len(CLASS_NAMES)  # objects that take turns
_SPRITE_SIDE = 256


@dataclass(frozen=True)
class _Path:
    """How an object moves while it is on stage, as sums of slow waves.

    Lengths are shares of the image's width (x) or height (y), times are in frames.
    """

    x: float
    reach: float
    period: float
    phase: float
    foot: float
    sway: float
    scale: float
    swell: float
    hop: float
    lean: float
    side: float


class SceneSequence:
    """A moving picture of objects that drift, bob, cross, leave and come back.

    Each frame can be drawn on its own: the same ``(seed, index, width, height)`` gives the same
    bytes, in any order. A hundred frames are one cycle: three to seven objects come in, move
    about and leave again, then the stage is empty for a few frames.
    """

    def __init__(self, seed: int, width: int = 640, height: int = 480) -> None:
        """Prepare the background and the objects, which takes about a third of a second.

        Args:
            seed: not negative.
            width: of the frames, in pixels, at least 32.
            height: of the frames, in pixels, at least 32.

        Raises:
            ValueError: the seed is negative or the frames are too small.
        """
        if seed < 0:
            raise ValueError(f"a seed must not be negative, got {seed}")
        check_size(width, height)
        self._seed, self._width, self._height = seed, width, height
        self._short = min(width, height)
        rng = np.random.default_rng([seed, 1])
        # The camera turns a little, so the background is larger than a frame.
        self._margin = int(0.05 * width) + 1
        background = draw_background(rng, width + 2 * self._margin, height)
        self._background = background.image
        self._horizon = background.horizon
        self._light = random_light(rng)
        self._shadow = rng.uniform(0.3, 0.6)
        self._light_maps = (light_map(rng, width, height), light_map(rng, width, height))
        self._noise = rng.integers(0, 256, (height + 64, width + 64, 3), np.uint8)
        self._grain = rng.uniform(0.02, 0.07)
        side = min(_SPRITE_SIDE, max(48, int(0.7 * self._short)))
        self._classes = [number % len(CLASS_NAMES) for number in range(_CAST)]
        self._sprites = [
            render_sprite(rng, class_id, side, self._light) for class_id in self._classes
        ]
        # The stage is cleared in the middle of each hundred frames.
        self._curtain = int(rng.integers(45, 70))

    def frame(self, index: int) -> Scene:
        """Draw frame ``index``, counted from 0.

        Raises:
            ValueError: ``index`` is negative.
        """
        if index < 0:
            raise ValueError(f"an index must not be negative, got {index}")
        turn = 0.8 * math.sin(index / 47.0) + 0.2 * math.sin(index / 13.0)
        pan = turn * (self._margin - 1)
        shift = np.array([[1.0, 0.0, pan - self._margin], [0.0, 1.0, 0.0]])
        image = np.asarray(
            cv2.warpAffine(self._background, shift, (self._width, self._height)), dtype=np.uint8
        )
        actors = self._actors(index, pan)
        boxes, class_ids, object_ids = compose(image, actors, self._light)
        return Scene(self._develop(image, index), boxes, class_ids, object_ids)

    def _actors(self, index: int, pan: float) -> list[Actor]:
        """Return the objects on stage, the farthest first."""
        act, moment = divmod(index - self._curtain, _CYCLE)
        if moment < _EMPTY:
            return []
        # How far everyone is off stage: 1 right beside the empty stretch, 0 in between.
        since, until = moment - _EMPTY, _CYCLE - 1 - moment
        away = max(_ease(1.0 - since / _EXIT), _ease(1.0 - until / _EXIT))
        # Python's divmod rounds down: the frames before the first curtain are act -1.
        rng = np.random.default_rng([self._seed, 2, act + 1])
        count = int(rng.integers(3, 8))
        # Each act has new players, so that all come on stage in the end.
        start = (act + 1) * 5
        numbers = [(start + step) % _CAST for step in range(count)]
        columns = 0.08 + 0.84 * (np.arange(count) + 0.5) / count
        rng.shuffle(columns)
        actors = []
        for number, column in zip(numbers, columns):
            path = self._path(rng, float(column))
            actors.append((path.foot, self._act_out(number, path, index, away, pan)))
        actors.sort(key=lambda entry: entry[0])
        return [actor for _, actor in actors]

    def _path(self, rng: np.random.Generator, column: float) -> _Path:
        low = min(self._horizon / self._height + 0.2, 0.8)
        return _Path(
            x=column,
            reach=rng.uniform(0.05, 0.25),
            period=rng.uniform(70.0, 160.0),
            phase=rng.uniform(0.0, 2.0 * math.pi),
            foot=rng.uniform(low, 1.02),
            sway=rng.uniform(0.0, 0.05),
            scale=math.exp(rng.normal(0.0, 0.18)),
            swell=rng.uniform(0.02, 0.15),
            hop=rng.uniform(0.05, 0.2) if rng.uniform() < 0.3 else 0.0,
            lean=rng.uniform(0.0, 7.0),
            side=-1.0 if column < 0.5 else 1.0,
        )

    def _act_out(self, number: int, path: _Path, index: int, away: float, pan: float) -> Actor:
        """Return object ``number`` at its place in frame ``index``."""
        time = 2.0 * math.pi * index / path.period + path.phase
        foot = (path.foot + path.sway * math.sin(0.7 * time)) * self._height
        size = perspective_size(foot, self._horizon, self._height, self._short)
        size *= path.scale * (1.0 + path.swell * math.sin(1.3 * time))
        size = float(np.clip(size, 0.08 * self._short, 0.6 * self._short))
        lift = path.hop * size * abs(math.sin(2.5 * time))
        x = (path.x + path.reach * math.sin(time)) * self._width + pan
        # Whoever leaves goes out on its own side, far enough to be out of sight for certain.
        x += path.side * away * (1.4 * self._width + size)
        where = Placement(
            x=x,
            y=foot - size / 2.0 - lift,
            size=size,
            angle=path.lean * math.sin(0.9 * time),
            shadow=self._shadow,
            lift=lift,
        )
        return Actor(number, self._classes[number], self._sprites[number], where)

    def _develop(self, image: Image, index: int) -> Image:
        """Return ``image`` with this frame's light, blur and noise."""
        weight = 0.5 + 0.5 * math.sin(index / 61.0)
        first, second = self._light_maps
        light = cv2.addWeighted(first, weight, second, 1.0 - weight, 0.0)
        bright = 1.0 + 0.12 * math.sin(index / 29.0 + 1.0)
        lit = cv2.multiply(image, light, scale=bright / LIGHT_UNIT)
        # Now and then the camera shakes or hunts for focus, for a dozen frames.
        mood = np.random.default_rng([self._seed, 3, index // 12]).uniform()
        if mood < 0.12:
            lit = cv2.blur(lit, (max(2, round(self._short / 96)), 1))
        elif mood < 0.24:
            lit = cv2.GaussianBlur(lit, (5, 5), self._short / 480.0 * 1.2)
        rng = np.random.default_rng([self._seed, 4, index])
        top, left = (int(value) for value in rng.integers(0, 64, 2))
        noise = self._noise[top : top + self._height, left : left + self._width]
        noisy = cv2.addWeighted(lit, 1.0, noise, self._grain, -128.0 * self._grain)
        return np.asarray(noisy, dtype=np.uint8)


def _ease(share: float) -> float:
    """Return 0 for ``share`` <= 0, 1 for >= 1, and a smooth step between."""
    clipped = min(1.0, max(0.0, share))
    return clipped * clipped * (3.0 - 2.0 * clipped)
