"""What a network would answer, without the network: the same for every contestant."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import Thresholds

_SEED = 11
_COPIES = 5
"""Candidates for each object, as neighbouring cells of a real network give."""
_HIGHEST_BACKGROUND = 0.1
"""Scores of candidates that show nothing; below any threshold."""
_BEST, _WORST = 0.95, 0.45
"""Scores of the first and the last object."""
_STRIDES = (8, 16, 32)
_BAND = 9 / 16
"""The share of the input's height, in its middle, in which objects lie: pictures of any usual shape
are there when they are letterboxed."""


@dataclass(frozen=True)
class Workload:
    """The output of a YOLOv8 network with so many objects in sight.

    The layout is (1, 4 + classes, candidates), as Ultralytics export it: centre x, centre y, width
    and height in network pixels, then a score for each class.
    """

    detections: int = 17
    """Objects that non-maximum suppression leaves."""
    network_size: int = 640
    """Width and height of the network's input in pixels."""
    classes: int = 80

    @property
    def candidates(self) -> int:
        """Rows of the output: the cells of three grids, 8400 at 640x640."""
        return sum((self.network_size // stride) ** 2 for stride in _STRIDES)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(f"class {index}" for index in range(self.classes))

    @property
    def thresholds(self) -> Thresholds:
        """What every contestant selects by."""
        return Thresholds(score=0.25, iou=0.45, max_detections=max(300, self.detections))

    @cached_property
    def output(self) -> NDArray[np.float32]:
        """(1, 4 + classes, candidates): what the network answers to every picture.

        Raises
        ------
        ValueError
            If there are more objects than a grid over the middle has places for.

        """
        columns = max(1, math.ceil(math.sqrt(self.detections / _BAND)))
        place = self.network_size / columns
        if math.ceil(self.detections / columns) * place > _BAND * self.network_size:
            columns += 1  # the last row would not be in the band
            place = self.network_size / columns
        top = (1 - _BAND) / 2 * self.network_size
        if self.detections * _COPIES > self.candidates or (self.detections and place < 12.0):
            raise ValueError(
                f"{self.detections} detections do not fit into {self.network_size}x"
                f"{self.network_size}: ask for fewer, or for a larger network"
            )
        random = np.random.default_rng(_SEED)
        table = np.empty((self.candidates, 4 + self.classes), np.float32)
        table[:, :2] = random.uniform(0, self.network_size, (self.candidates, 2))
        table[:, 2:4] = random.uniform(8, 64, (self.candidates, 2))
        table[:, 4:] = random.uniform(0, _HIGHEST_BACKGROUND, (self.candidates, self.classes))
        rows = random.permutation(self.candidates)[: self.detections * _COPIES]
        objects = np.repeat(np.arange(self.detections), _COPIES)
        copies = np.tile(np.arange(_COPIES), self.detections)
        # Far enough apart not to suppress each other, and their own copies near enough to do so.
        table[rows, 0] = (objects % columns + 0.5) * place + copies * 0.25
        table[rows, 1] = top + (objects // columns + 0.5) * place + copies * 0.25
        table[rows, 2:4] = 0.75 * place
        step = (_BEST - _WORST) / max(self.detections, 1)
        table[rows, 4 + objects % self.classes] = _BEST - step * (objects + copies / (2 * _COPIES))
        return np.ascontiguousarray(table.T)[None]

    def with_detections(self, detections: int) -> Workload:
        """Return the same network seeing another number of objects."""
        return replace(self, detections=detections)


USUAL_WORKLOAD = Workload()
"""A busy street."""
