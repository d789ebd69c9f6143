"""Shadows on the floor."""

from __future__ import annotations

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Float, Image, to_bytes
from jetson_detect.core.scenes.placement import Placement
from jetson_detect.core.scenes.sprites import Sprite
from jetson_detect.core.scenes.warping import touched_region, warp_into


def cast_shadow(image: Image, sprite: Sprite, where: Placement, light: Float) -> None:
    """Darken the floor under the object and, away from the light, behind it."""
    if where.shadow <= 0.0:
        return
    height, width = image.shape[:2]
    small = sprite.levels[-1]
    # Room for the blur, so that the shadow does not end in a hard edge.
    rim = max(small.shape[:2]) // 4
    silhouette = cv2.copyMakeBorder(
        np.ascontiguousarray(small[..., 3]), rim, rim, rim, rim, cv2.BORDER_CONSTANT
    )
    silhouette = cv2.blur(cv2.blur(silhouette, (5, 5)), (5, 5))
    rows, columns = silhouette.shape[:2]
    scale = where.size / sprite.extent * 2.0 ** (len(sprite.levels) - 1)
    # Things touch the floor a little behind their lowest edge, as they are seen from above.
    foot_y = where.y + scale * (rows / 2.0 - rim) + where.lift - 0.05 * where.size
    # The foot line of the silhouette stays in place, what is above it falls over, backwards.
    lean = -0.9 * float(light[0])
    squash = 0.3
    base = rows - rim
    lying = np.array(
        [
            [scale, lean * scale, 0.0],
            [0.0, squash * scale, 0.0],
        ]
    )
    lying[0, 2] = where.x - scale * columns / 2.0 - lying[0, 1] * base
    lying[1, 2] = foot_y - squash * scale * base
    region = touched_region(lying, silhouette.shape, width, height)
    if region is not None:
        mask = warp_into(np.asarray(silhouette, np.uint8), lying, region)
        _darken(image, mask, region, 0.75 * where.shadow)
    # A soft dark spot where the object touches the floor.
    wide = scale * (columns - 2 * rim) * 0.6
    spot = np.array(
        [
            [2.0 * wide / 64.0, 0.0, where.x - wide],
            [0.0, 0.5 * wide / 64.0, foot_y - 0.29 * wide],
        ]
    )
    region = touched_region(spot, _CONTACT.shape, width, height)
    if region is not None:
        strength = where.shadow / (1.0 + 4.0 * where.lift / max(where.size, 1.0))
        _darken(image, warp_into(_CONTACT, spot, region), region, strength)


def _soft_disc(side: int = 64) -> Image:
    """Return a disc that fades out towards its rim, ``(side, side)`` ``uint8``."""
    axis = np.linspace(-1.0, 1.0, side)
    distance = np.hypot(axis[:, None], axis[None, :])
    return to_bytes(255.0 * np.clip(1.0 - distance, 0.0, 1.0) ** 0.7)


_CONTACT = _soft_disc()


def _darken(image: Image, mask: Image, region: tuple[int, int, int, int], strength: float) -> None:
    """Multiply a region of ``image`` by ``1 - strength * mask / 255``."""
    left, top, right, bottom = region
    keep = cv2.convertScaleAbs(mask, alpha=-strength, beta=255.0)
    # convertScaleAbs takes the absolute value, which is harmless: strength is at most 1.
    view = image[top:bottom, left:right]
    cv2.multiply(view, cv2.merge([keep, keep, keep]), dst=view, scale=1.0 / 255.0)
