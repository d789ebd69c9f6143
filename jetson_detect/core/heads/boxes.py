"""How networks write boxes, and how they become corners in network pixels."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.model import InputSpec

MAX_LOG_SIZE = math.log(1000.0)
"""Where a network predicts the logarithm of a size, it is held below this: no box is a thousand
times its anchor or cell, and ``exp`` would overflow."""


class BoxFormat(str, Enum):
    """What the four numbers of a box are."""

    XYXY = "xyxy"
    """x_min, y_min, x_max, y_max."""
    YXYX = "yxyx"
    """y_min, x_min, y_max, x_max: TensorFlow's order."""
    CXCYWH = "cxcywh"
    """Centre x, y, width, height: the order of YOLO and DETR."""
    CYCXHW = "cycxhw"
    """Centre y, x, height, width: the order of TensorFlow's anchors."""


class BoxUnits(str, Enum):
    """What a box's numbers count."""

    PIXELS = "pixels"
    """Pixels of the network's input."""
    NORMALIZED = "normalized"
    """Widths and heights of the network's input: 0 to 1."""


class BoxReader:
    """Reads rows of four numbers as boxes: the options ``box_format`` and ``box_units``."""

    def __init__(self, spec: InputSpec, box_format: BoxFormat, units: BoxUnits) -> None:
        """Read boxes of one format in a network's input."""
        self._format = box_format
        scale = (spec.width, spec.height) if units is BoxUnits.NORMALIZED else (1, 1)
        self._scale = None if units is BoxUnits.PIXELS else np.array(scale * 2, np.float32)

    @classmethod
    def from_options(
        cls,
        options: HeadOptions,
        spec: InputSpec,
        box_format: BoxFormat,
        units: BoxUnits,
    ) -> BoxReader:
        """Read the options; the format and units given are their defaults."""
        return cls(
            spec, options.choice("box_format", box_format), options.choice("box_units", units)
        )

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Turn rows, (M, 4), into corners in network pixels, (M, 4)."""
        rows = rows.astype(np.float32, copy=False)
        if self._format in (BoxFormat.YXYX, BoxFormat.CYCXHW):
            rows = rows[:, [1, 0, 3, 2]]
        if self._format in (BoxFormat.CXCYWH, BoxFormat.CYCXHW):
            rows = corners(rows[:, :2], rows[:, 2:])
        return rows if self._scale is None else rows * self._scale


def corners(centers: NDArray[np.float32], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn centres and sizes, (M, 2) each, into x_min, y_min, x_max, y_max, (M, 4)."""
    half = sizes / np.float32(2)
    return np.concatenate([centers - half, centers + half], axis=1)


def exp_sizes(logarithms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo the logarithm of sizes; see :data:`MAX_LOG_SIZE`."""
    held = np.minimum(logarithms, np.float32(MAX_LOG_SIZE))
    sizes: NDArray[np.float32] = np.exp(held, out=held)
    return sizes
