"""Anchor boxes: where they lie, and how boxes are written relative to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.heads.boxes import corners, exp_sizes

GridSizes = Sequence[tuple[int, int]]
"""Rows and columns of each feature map, the finest first."""

Anchors = NDArray[np.float32]
"""(N, 4): centre x, y, width, height in network pixels."""


def grid_sizes(input_size: tuple[int, int], strides: Sequence[float]) -> list[tuple[int, int]]:
    """Rows and columns of feature maps with some strides: networks pad, so they round up."""
    width, height = input_size
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in strides]


def ssd_anchors(
    input_size: tuple[int, int],
    grids: GridSizes,
    scales: Sequence[float],
    aspect_ratios: Sequence[float],
    *,
    interpolated_aspect_ratio: float = 1.0,
    reduce_lowest_layer: bool = True,
) -> Anchors:
    """Anchors as the TensorFlow Object Detection API's ``ssd_anchor_generator`` makes them.

    The order is grid, row, column, then shape: as
    ``object_detection/anchor_generators/multiple_grid_anchor_generator.py: create_ssd_anchors``
    (https://github.com/tensorflow/models/tree/master/research/object_detection).

    Parameters
    ----------
    input_size:
        Width and height of the network's input.
    grids:
        The feature maps.
    scales:
        One for each grid, relative to the shorter side of the input.
    aspect_ratios:
        Width to height, of every shape of a grid.
    interpolated_aspect_ratio:
        Of one more shape, between a grid's scale and the next; 0 leaves it out.
    reduce_lowest_layer:
        Whether the finest grid has only three shapes, the first with a scale of 0.1.

    """
    layers = []
    for number, (scale, following) in enumerate(zip(scales, [*scales[1:], 1.0])):
        if number == 0 and reduce_lowest_layer:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [(scale, ratio) for ratio in aspect_ratios]
            if interpolated_aspect_ratio > 0:
                shapes.append((math.sqrt(scale * following), interpolated_aspect_ratio))
        layers.append(shapes)
    width, height = input_size
    side = min(input_size)
    return np.concatenate(
        [
            _tile(
                (rows, columns),
                (height / rows, width / columns),
                (height / rows / 2, width / columns / 2),
                [(scale * side * r**0.5, scale * side / r**0.5) for scale, r in shapes],
            )
            for (rows, columns), shapes in zip(grids, layers)
        ]
    )


def multiscale_anchors(
    input_size: tuple[int, int],
    levels: Sequence[int],
    aspect_ratios: Sequence[float],
    *,
    anchor_scale: float = 4.0,
    scales_per_octave: int = 2,
) -> Anchors:
    """Anchors as the TensorFlow Object Detection API's ``multiscale_anchor_generator`` makes them.

    As in its SSD with a feature pyramid (RetinaNet): strides are powers of two, and among the
    shapes of a cell the scale varies before the aspect ratio; see
    ``object_detection/anchor_generators/multiscale_grid_anchor_generator.py``.  Centres lie in
    the middle of cells where the input is a multiple of the stride, else on their corners.
    """
    shapes = [
        (2 ** (octave / scales_per_octave), ratio)
        for ratio in aspect_ratios
        for octave in range(scales_per_octave)
    ]
    layers = []
    for level in levels:
        stride = 2**level
        base = stride * anchor_scale
        offset_x, offset_y = (stride / 2 if size % stride == 0 else 0.0 for size in input_size)
        layers.append(
            _tile(
                grid_sizes(input_size, [stride])[0],
                (stride, stride),
                (offset_y, offset_x),
                [(scale * base * r**0.5, scale * base / r**0.5) for scale, r in shapes],
            )
        )
    return np.concatenate(layers)


def efficientdet_anchors(
    input_size: tuple[int, int],
    grid: tuple[int, int],
    aspect_ratios: Sequence[tuple[float, float]],
    *,
    anchor_scale: float = 4.0,
    num_scales: int = 3,
) -> Anchors:
    """Anchors of one level as EfficientDet makes them.

    The stride follows from input and grid; among the shapes of a cell the aspect ratio, given as
    factors of width and height, varies before the scale; see ``efficientdet/anchors.py``
    (https://github.com/google/automl/tree/master/efficientdet).
    """
    (width, height), (rows, columns) = input_size, grid
    stride_y, stride_x = height / rows, width / columns
    return _tile(
        grid,
        (stride_y, stride_x),
        (stride_y / 2, stride_x / 2),
        [
            (
                anchor_scale * stride_x * 2 ** (octave / num_scales) * wide,
                anchor_scale * stride_y * 2 ** (octave / num_scales) * high,
            )
            for octave in range(num_scales)
            for wide, high in aspect_ratios
        ],
    )


def _tile(
    grid: tuple[int, int],
    stride: tuple[float, float],
    offset: tuple[float, float],
    shapes: Sequence[tuple[float, float]],
) -> Anchors:
    """Put every shape (width, height) on every cell; stride and offset are y, x."""
    rows, columns = grid
    tiled = np.empty((rows, columns, len(shapes), 4), np.float32)
    tiled[..., 0] = (np.arange(columns) * stride[1] + offset[1])[:, None]
    tiled[..., 1] = (np.arange(rows) * stride[0] + offset[0])[:, None, None]
    tiled[..., 2:] = shapes
    return tiled.reshape(-1, 4)


def decode_boxes(
    codes: NDArray[Any], anchors: Anchors, scale_factors: Sequence[float]
) -> NDArray[np.float32]:
    """Turn boxes relative to their anchors into corners in network pixels, (M, 4).

    Ren et al.: Faster R-CNN, 2015, equation 2: the centre moves by a part of the anchor's size,
    the size is the anchor's times ``exp``.

    Parameters
    ----------
    codes:
        (M, 4): ty, tx, th, tw, TensorFlow's order.
    anchors:
        (M, 4).
    scale_factors:
        What ty, tx, th and tw were multiplied with.

    """
    scaled: NDArray[np.float32] = codes.astype(np.float32)
    scaled /= np.array(scale_factors, np.float32)
    scaled = scaled[:, [1, 0, 3, 2]]
    sizes = anchors[:, 2:]
    return corners(anchors[:, :2] + scaled[:, :2] * sizes, sizes * exp_sizes(scaled[:, 2:]))
