"""Pictures brought to another size, byte by byte."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import Interpolation
from jetson_detect.core.reused_memory import ReusedMemory

_INTERPOLATIONS = {
    Interpolation.LINEAR: cv2.INTER_LINEAR,
    Interpolation.AREA: cv2.INTER_AREA,
    Interpolation.NEAREST: cv2.INTER_NEAREST,
    Interpolation.CUBIC: cv2.INTER_CUBIC,
}
_HALVES = ReusedMemory()
"""Pictures on their way to a smaller one; any thread may take a piece."""


def resize(
    source: NDArray[np.uint8], target: NDArray[np.uint8], interpolation: Interpolation
) -> None:
    """Resize a picture as ``cv2.resize`` does, but enlarge by area linearly.

    Shrunk by area to a quarter, a sixth, an eighth ... of both its sides it is off by rounding, at
    most 1 for each time that it was halved.

    Parameters
    ----------
    source:
        (H, W) or (H, W, C); rows may be strided.
    target:
        (h, w) or (h, w, C), filled in place; rows may be strided.
    interpolation:
        How pixels between those of the source are computed.

    """
    height, width = target.shape[:2]
    if interpolation is Interpolation.AREA and (
        width > source.shape[1] or height > source.shape[0]
    ):
        interpolation = Interpolation.LINEAR  # enlarged by area, pixels would be repeated
    if interpolation is Interpolation.LINEAR:
        step_x, step_y = _odd_step(source.shape[1], width), _odd_step(source.shape[0], height)
        if step_x * step_y > 1 and _can_pick(source.shape[1], step_x, step_y, target[0, 0].size):
            _pick(source, target, step_x, step_y)
            return
    if interpolation is Interpolation.AREA:
        source = _halved(source, width, height)
    flag = _INTERPOLATIONS[interpolation]
    cv2.resize(source, (width, height), dst=target, interpolation=flag)


def rows_read(
    source: tuple[int, int], target: tuple[int, int], interpolation: Interpolation
) -> slice:
    """Return the rows of a picture of three channels that alone are read when it is resized.

    Parameters
    ----------
    source, target:
        Widths and heights.
    interpolation:
        As in :func:`resize`, which makes of these rows what it makes of the whole.

    """
    width, height = source
    if interpolation is Interpolation.NEAREST:
        step, rest = divmod(height, target[1])
        return slice(None, None, step) if step and not rest else slice(None)
    if interpolation is Interpolation.LINEAR:
        step_x, step_y = _odd_step(width, target[0]), _odd_step(height, target[1])
        if step_x * step_y > 1 and _can_pick(width, step_x, step_y, 3):
            return slice(step_y // 2, None, step_y)
    return slice(None)


def _halved(source: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Halve a picture as often as its sides remain whole multiples of those wanted.

    The mean of means is that of all pixels, and OpenCV has vector code for two by two of them only:
    640x480 becomes 160x120 in 0.35 of the time (``benchmark preprocess``).
    """
    while _is_even_multiple(source.shape[1], width) and _is_even_multiple(source.shape[0], height):
        rows, columns = source.shape[0] // 2, source.shape[1] // 2
        if (columns, rows) == (width, height):
            break  # the last step is that of every other picture
        half = _HALVES.array(rows, columns, *source.shape[2:])
        cv2.resize(source, (columns, rows), dst=half, interpolation=cv2.INTER_AREA)
        source = half
    return source


def _is_even_multiple(length: int, unit: int) -> bool:
    return length % (2 * unit) == 0


def _odd_step(source_length: int, length: int) -> int:
    """Return how many source pixels make one, if that is an odd number, else 0."""
    step, rest = divmod(source_length, length)
    return step if rest == 0 and step % 2 else 0


def _pick(source: NDArray[np.uint8], target: NDArray[np.uint8], step_x: int, step_y: int) -> None:
    """Take the pixel in the middle of every ``step_x`` by ``step_y``.

    When a side shrinks to an odd part of it, as 1920x1080 to 640x360, the centre of each pixel is
    the centre of one in the source: linear interpolation gives weight to no other.  It takes half
    the time, because two of three rows are never read.
    """
    picked = source[step_y // 2 :: step_y, step_x // 2 :]
    cv2.resize(picked, None, dst=target, fx=1 / step_x, fy=1, interpolation=cv2.INTER_NEAREST)


@lru_cache(maxsize=64)
def _can_pick(source_width: int, step_x: int, step_y: int, channels: int) -> bool:
    """Whether this build of OpenCV gives the same both ways; it has several for each processor."""
    shape = (2 * step_y, source_width, channels)
    source = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picked = np.empty((2, source_width // step_x, channels), np.uint8)
    source, picked = (image[..., 0] if channels == 1 else image for image in (source, picked))
    _pick(source, picked, step_x, step_y)
    linear = cv2.resize(source, picked.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.array_equal(picked, linear)
