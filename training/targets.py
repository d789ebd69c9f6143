"""The maths between boxes in a picture and the outputs of the network, in numpy only.

The network divides its square input into cells of :data:`STRIDE` pixels. For each cell it says

* ``heatmap``: per class, how surely the centre of an object lies here, 0..1;
* ``offset``: dx, dy from the corner of the cell to the centre of that object, in cells;
* ``size``: natural logarithm of the object's width and height, in cells.

A picture is fitted into the input by a *letterbox*: scaled alike in both directions, centred,
and padded with grey.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.geometry import ImageTransform

INPUT_SIDE = 160
"""Width and height of the network's input, in pixels."""

STRIDE = 4
"""Side of a cell, in pixels of the input."""

GRID_SIDE = INPUT_SIDE // STRIDE
"""Cells in a row, and in a column."""

PADDING = 114
"""Grey value around the picture."""

_NEIGHBOUR_WEIGHT = 0.5
_SPREAD = 0.54  # share of a box over which its peak is spread, after TTFNet (Liu et al. 2020)


def letterbox(
    picture: NDArray[np.uint8], shrink: int = cv2.INTER_AREA
) -> tuple[NDArray[np.uint8], ImageTransform]:
    """Fit ``picture`` ``(H, W, 3)`` into the network's input, ``(INPUT_SIDE, INPUT_SIDE, 3)``.

    Args:
        picture: ``uint8``, as is what comes back.
        shrink: how OpenCV scales down; it scales up with ``INTER_LINEAR``.

    Returns
    -------
    The fitted picture, and how it lies in the input.

    """
    height, width = picture.shape[:2]
    transform = ImageTransform.fit((width, height), (INPUT_SIDE, INPUT_SIDE))
    smaller = transform.content_width < width
    inner = cv2.resize(
        picture,
        (transform.content_width, transform.content_height),
        interpolation=shrink if smaller else cv2.INTER_LINEAR,
    )
    padded = np.full((INPUT_SIDE, INPUT_SIDE, 3), PADDING, np.uint8)
    rows = slice(transform.content_y, transform.content_y + transform.content_height)
    padded[rows, transform.content_x : transform.content_x + transform.content_width] = inner
    return padded, transform


@dataclass(frozen=True, eq=False)
class Targets:
    """What the network should say about one picture; all ``float32``.

    Attributes:
        heatmap: ``(GRID_SIDE, GRID_SIDE, classes)``, 1 at the centre of an object, falling off
            around it.
        offset: ``(GRID_SIDE, GRID_SIDE, 2)``, dx, dy in cells.
        size: ``(GRID_SIDE, GRID_SIDE, 2)``, logarithm of width and height in cells.
        weight: ``(GRID_SIDE, GRID_SIDE)``, how much offset and size count: 1 at the centre of an
            object, less beside it, 0 elsewhere.
    """

    heatmap: NDArray[np.float32]
    offset: NDArray[np.float32]
    size: NDArray[np.float32]
    weight: NDArray[np.float32]


def encode(boxes: NDArray[np.float32], class_ids: NDArray[np.int32], classes: int) -> Targets:
    """Return the targets of boxes ``(N, 4)`` in pixels of the input and their classes ``(N,)``."""
    heatmap = np.zeros((GRID_SIDE, GRID_SIDE, classes), np.float32)
    offset = np.zeros((GRID_SIDE, GRID_SIDE, 2), np.float32)
    size = np.zeros((GRID_SIDE, GRID_SIDE, 2), np.float32)
    weight = np.zeros((GRID_SIDE, GRID_SIDE), np.float32)
    cells = np.arange(GRID_SIDE)
    corners = boxes.astype(np.float64) / STRIDE
    spans = np.maximum(corners[:, 2:] - corners[:, :2], 1e-6)
    centres = (corners[:, :2] + corners[:, 2:]) / 2.0
    # Small objects come last, so that where neighbourhoods meet they keep theirs.
    for number in np.argsort(-spans.prod(axis=1), kind="stable"):
        centre_x, centre_y = centres[number]
        column = min(GRID_SIDE - 1, max(0, int(centre_x)))
        row = min(GRID_SIDE - 1, max(0, int(centre_y)))
        sigma_x, sigma_y = (_SPREAD * spans[number] + 1.0) / 6.0
        bell_x = np.exp(-((cells - column) ** 2) / (2.0 * sigma_x**2))
        bell_y = np.exp(-((cells - row) ** 2) / (2.0 * sigma_y**2))
        layer = heatmap[:, :, class_ids[number]]
        np.maximum(layer, np.outer(bell_y, bell_x), out=layer)
        for y in range(max(0, row - 1), min(GRID_SIDE, row + 2)):
            for x in range(max(0, column - 1), min(GRID_SIDE, column + 2)):
                here = 1.0 if (x, y) == (column, row) else _NEIGHBOUR_WEIGHT
                if weight[y, x] > here:  # the centre of another object
                    continue
                weight[y, x] = here
                offset[y, x] = centre_x - x, centre_y - y
                size[y, x] = np.log(spans[number])
    return Targets(heatmap, offset, size, weight)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Objects read from the outputs of the network, the surest first.

    Attributes:
        boxes: ``(N, 4)`` ``float32``, in pixels of the input, not clipped.
        scores: ``(N,)`` ``float32``, 0..1.
        class_ids: ``(N,)`` ``int32``.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]


def decode(
    heatmap: NDArray[np.float32],
    offset: NDArray[np.float32],
    size: NDArray[np.float32],
    threshold: float = 0.05,
    most: int = 100,
    overlap: float = 0.6,
) -> Decoded:
    """Read objects from outputs of shape ``(GRID_SIDE, GRID_SIDE, ...)``, without a batch axis.

    A cell counts when no cell of the same class in the 3 x 3 cells around it is surer. Rounded
    outputs make ties between neighbours, so overlapping boxes of a class are thinned as well.

    Args:
        heatmap: classes per cell, 0..1.
        offset: dx, dy per cell, in cells.
        size: logarithm of width and height per cell, in cells.
        threshold: lowest score.
        most: largest number of objects.
        overlap: boxes of one class that overlap by more than this IoU are one object.
    """
    padded = np.pad(heatmap, ((1, 1), (1, 1), (0, 0)))
    height, width, _ = heatmap.shape
    around = np.max(
        [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0
    )
    rows, columns, class_ids = np.nonzero((heatmap >= around) & (heatmap >= threshold))
    order = np.argsort(-heatmap[rows, columns, class_ids], kind="stable")[: 2 * most]
    rows, columns, class_ids = rows[order], columns[order], class_ids[order]
    scores = heatmap[rows, columns, class_ids]
    centres = (np.stack([columns, rows], axis=1) + offset[rows, columns]) * STRIDE
    half = np.exp(size[rows, columns]) * (STRIDE / 2.0)
    boxes = np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
    kept = _thin(boxes, class_ids, overlap)[:most]
    return Decoded(boxes[kept], scores[kept].astype(np.float32), class_ids[kept].astype(np.int32))


def _thin(boxes: NDArray[np.float32], class_ids: NDArray[np.intp], overlap: float) -> list[int]:
    """Return the indices of the boxes to keep, which come sorted by falling score."""
    kept: list[int] = []
    for number in range(len(boxes)):
        rivals = [other for other in kept if class_ids[other] == class_ids[number]]
        if all(_iou(boxes[number], boxes[other]) <= overlap for other in rivals):
            kept.append(number)
    return kept


def _iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the intersection over the union of two boxes ``(4,)``."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[2:], second[2:])
    common = float(np.prod(np.maximum(high - low, 0.0)))
    areas = [math.prod(float(v) for v in box[2:] - box[:2]) for box in (first, second)]
    return common / max(sum(areas) - common, 1e-9)
