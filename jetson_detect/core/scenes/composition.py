"""Putting objects into a picture, and measuring what can be seen of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes.arrays import Float, Image
from jetson_detect.core.scenes.placement import Placement
from jetson_detect.core.scenes.scene import MIN_BOX_SIDE, MIN_VISIBLE_FRACTION
from jetson_detect.core.scenes.shadows import cast_shadow
from jetson_detect.core.scenes.sprites import Sprite
from jetson_detect.core.scenes.warping import touched_region, warp_into

_OPAQUE = 128  # alpha from which a pixel counts as covered


def _placed(sprite: Sprite, where: Placement) -> tuple[Image, NDArray[np.float64]]:
    """Return the level of ``sprite`` to draw and the ``(2, 3)`` matrix that puts it in place."""
    scale = where.size / sprite.extent
    level = 0
    while scale < 0.6 and level + 1 < len(sprite.levels):
        scale, level = 2.0 * scale, level + 1
    pixels = sprite.levels[level]
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), where.angle, scale)
    matrix[0, 2] += where.x - (width - 1) / 2.0
    matrix[1, 2] += where.y - (height - 1) / 2.0
    return pixels, np.asarray(matrix, dtype=np.float64)


def _paste(
    image: Image, owners: Image, sprite: Sprite, where: Placement, owner: int
) -> tuple[int, int, int, int] | None:
    """Draw an object and mark its pixels in ``owners`` with ``owner``.

    Returns:
        Left, top, right, bottom (edges) of the pixels it covers inside the image, or None.
    """
    height, width = image.shape[:2]
    pixels, matrix = _placed(sprite, where)
    region = touched_region(matrix, pixels.shape, width, height)
    if region is None:
        return None
    left, top, right, bottom = region
    patch = warp_into(pixels, matrix, region)
    alpha = np.ascontiguousarray(patch[..., 3])
    keep = cv2.bitwise_not(alpha)
    view = image[top:bottom, left:right]
    faded = cv2.multiply(view, cv2.merge([keep, keep, keep]), scale=1.0 / 255.0)
    cv2.add(faded, cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR), dst=view)
    _, covered = cv2.threshold(alpha, _OPAQUE - 1, 255.0, cv2.THRESH_BINARY)
    box_x, box_y, box_w, box_h = cv2.boundingRect(covered)
    if box_w == 0 or box_h == 0:
        return None
    owners[top:bottom, left:right][covered > 0] = owner
    return left + box_x, top + box_y, left + box_x + box_w, top + box_y + box_h


@dataclass(frozen=True, eq=False)
class Actor:
    """An object to draw: its number, its class, its picture and its place."""

    object_id: int
    class_id: int
    sprite: Sprite
    where: Placement


def compose(
    image: Image, actors: list[Actor], light: Float
) -> tuple[Float, NDArray[np.int32], NDArray[np.int32]]:
    """Draw ``actors`` into ``image``, the first one farthest away.

    Returns:
        Boxes ``(N, 4)`` ``float32``, class ids and object ids ``(N,)`` ``int32``.
    """
    height, width = image.shape[:2]
    owners = np.zeros((height, width), np.uint8)
    rectangles: list[tuple[int, int, int, int] | None] = []
    for number, actor in enumerate(actors, start=1):
        cast_shadow(image, actor.sprite, actor.where, light)
        rectangles.append(_paste(image, owners, actor.sprite, actor.where, number))
    seen = cv2.calcHist([owners], [0], None, [256], [0.0, 256.0]).ravel()
    boxes, class_ids, object_ids = [], [], []
    smallest = MIN_BOX_SIDE * min(width, height)
    for number, (actor, rectangle) in enumerate(zip(actors, rectangles), start=1):
        if rectangle is None:
            continue
        whole = actor.sprite.area * (actor.where.size / actor.sprite.extent) ** 2
        shorter = min(rectangle[2] - rectangle[0], rectangle[3] - rectangle[1])
        if shorter < smallest or seen[number] < MIN_VISIBLE_FRACTION * whole:
            continue
        boxes.append(rectangle)
        class_ids.append(actor.class_id)
        object_ids.append(actor.object_id)
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int32),
        np.array(object_ids, np.int32),
    )
