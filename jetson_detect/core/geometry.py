"""How a source image is fitted into a network's input, and how boxes come back from there.

Coordinates are pixel edges, as in ``cv2.resize``: a resize from width ``w`` to ``w'`` maps
``x`` to ``x * w' / w`` exactly, so that the round trip is exact too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ResizeMode(str, Enum):
    """How the source image is fitted into the network's input."""

    LETTERBOX = "letterbox"
    """Keep the aspect ratio and pad what is left over."""
    STRETCH = "stretch"
    """Fill the input; the aspect ratio changes."""


class Alignment(str, Enum):
    """Where a letterboxed image lies in the network's input."""

    CENTER = "center"
    TOP_LEFT = "top_left"


@dataclass(frozen=True)
class ImageTransform:
    """The affine map from source pixels to network pixels, without rotation.

    ``network = source * scale + offset``, separately in x and y.
    """

    source_width: int
    source_height: int
    network_width: int
    network_height: int
    content_x: int
    """Left edge of the resized image in the network's input."""
    content_y: int
    """Top edge of the resized image in the network's input."""
    content_width: int
    content_height: int

    @classmethod
    def fit(
        cls,
        source_size: tuple[int, int],
        network_size: tuple[int, int],
        mode: ResizeMode = ResizeMode.LETTERBOX,
        alignment: Alignment = Alignment.CENTER,
    ) -> ImageTransform:
        """The transform that fits ``source_size`` into ``network_size`` (both width, height).

        The resized content has whole pixels, at least one in each direction, and the scale of
        each axis follows from them; so boxes are undone by what was really done to the image.

        Raises
        ------
        ValueError
            If any size is not positive.

        """
        (source_width, source_height), (width, height) = source_size, network_size
        if min(source_width, source_height, width, height) < 1:
            raise ValueError(f"cannot fit an image of {source_size} into {network_size}")
        if mode is ResizeMode.STRETCH:
            content_width, content_height = width, height
        else:
            scale = min(width / source_width, height / source_height)
            content_width = min(width, max(1, round(source_width * scale)))
            content_height = min(height, max(1, round(source_height * scale)))
        content_x, content_y = 0, 0
        if alignment is Alignment.CENTER:
            content_x, content_y = (width - content_width) // 2, (height - content_height) // 2
        return cls(
            source_width,
            source_height,
            width,
            height,
            content_x,
            content_y,
            content_width,
            content_height,
        )

    @property
    def scale(self) -> tuple[float, float]:
        """Network pixels per source pixel in x and y."""
        return self.content_width / self.source_width, self.content_height / self.source_height

    @cached_property
    def _box_map(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and offset, (4,) each, of x_min, y_min, x_max, y_max."""
        offset = np.array([self.content_x, self.content_y] * 2, np.float64)
        return np.array(self.scale * 2), offset

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        """(4,): the largest x_min, y_min, x_max and y_max in the source."""
        return np.array([self.source_width, self.source_height] * 2, np.float64)

    def boxes_to_network(self, boxes: NDArray[Any]) -> NDArray[np.float64]:
        """Map (N, 4) boxes (x_min, y_min, x_max, y_max) from source to network pixels."""
        scale, offset = self._box_map
        network: NDArray[np.float64] = np.asarray(boxes, np.float64) * scale + offset
        return network

    def boxes_to_source(self, boxes: NDArray[Any], *, clip: bool = True) -> NDArray[np.float32]:
        """Map (N, 4) boxes (x_min, y_min, x_max, y_max) from network to source pixels.

        Clipped to the image unless ``clip`` is false.  Rotated boxes need
        :meth:`rotated_boxes_to_source`.
        """
        scale, offset = self._box_map
        source = (np.asarray(boxes, np.float64) - offset) / scale
        if clip:
            np.minimum(source, self._limits, out=source)
            np.maximum(source, 0.0, out=source)
        rounded: NDArray[np.float32] = source.astype(np.float32)
        return rounded

    def rotated_boxes_to_network(
        self, boxes: NDArray[Any], angles: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map boxes with angles, (N, 4) and (N,), from source to network pixels.

        See :meth:`rotated_boxes_to_source`.
        """
        return _map_rotated(
            boxes, angles, np.array(self.scale), np.array([self.content_x, self.content_y])
        )

    def rotated_boxes_to_source(
        self, boxes: NDArray[Any], angles: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Map boxes with angles, (N, 4) and (N,), from network to source pixels; not clipped.

        ``boxes`` are the extents before the rotation, ``angles`` turn them about their centres, x
        towards y, in radians; they come back between -pi and pi.

        Where the two scales are equal, as in a letterbox up to rounding, a rectangle stays one and
        this is exact.  Where they differ it becomes a parallelogram.  Its centre and the edge
        along the width are kept as they are: they give the new centre, width and angle.  The new
        height is the parallelogram's extent across that edge, which keeps the area and makes the
        way there and back exact.
        """
        scale = 1.0 / np.array(self.scale)
        source, turned = _map_rotated(
            boxes, angles, scale, -scale * [self.content_x, self.content_y]
        )
        return source.astype(np.float32), turned.astype(np.float32)

    def shows_rotated(self, boxes: NDArray[Any], angles: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,): whether any part of a rotated box, in source pixels, lies inside the image.

        Two convex shapes are apart where they are on one of their edges' normals (separating axis
        theorem); a box without area is never inside.
        """
        centers, sizes = _centers_and_sizes(boxes)
        along, across = _axes(np.asarray(angles, np.float64))
        image = np.array([self.source_width, self.source_height], np.float64)
        reach = (np.abs(along) * sizes[:, :1] + np.abs(across) * sizes[:, 1:]) / 2
        shown = (sizes > 0).all(axis=1)
        shown &= ((centers + reach > 0) & (centers - reach < image)).all(axis=1)
        to_image = image / 2 - centers
        for axis, size in ((along, sizes[:, 0]), (across, sizes[:, 1])):
            half_image = np.abs(axis) @ image / 2
            shown &= np.abs((axis * to_image).sum(axis=1)) < half_image + size / 2
        return np.asarray(shown, np.bool_)


def _map_rotated(
    boxes: NDArray[Any], angles: NDArray[Any], scale: NDArray[Any], offset: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map boxes by ``scale`` and ``offset``, (2,) each for x and y; float64 throughout."""
    centers, sizes = _centers_and_sizes(boxes)
    along = _axes(np.asarray(angles, np.float64))[0] * scale
    stretch = np.hypot(along[:, 0], along[:, 1])
    half = sizes * np.stack([stretch, scale.prod() / stretch], axis=1) / 2
    centers = centers * scale + offset
    mapped = np.concatenate([centers - half, centers + half], axis=1)
    return mapped, np.arctan2(along[:, 1], along[:, 0])


def _centers_and_sizes(boxes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.asarray(boxes, np.float64)
    return (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]


def _axes(angles: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit vectors, (N, 2) each, along the width and the height of turned boxes."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)
