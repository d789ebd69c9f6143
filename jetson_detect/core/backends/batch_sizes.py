"""How many pictures a network takes at once, by the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jetson_detect.core.backends.base import TensorInfo

_PICTURE_RANK = 4
"""Of (batch, H, W, C) or (batch, C, H, W)."""


class BatchSizes(NamedTuple):
    """How many pictures one call must be given and may take."""

    least: int = 1
    most: int = 1


def batch_sizes(inputs: Iterable[TensorInfo], wanted: int) -> BatchSizes:
    """Return how many pictures fit, of which ``wanted`` are enough where the file leaves it open.

    A network takes several if the first axis of each of its inputs is open, or fixed for so many.
    """
    first_axes = {info.shape[0] if len(info.shape) == _PICTURE_RANK else 1 for info in inputs}
    if len(first_axes) != 1:
        return BatchSizes()
    size = first_axes.pop()
    return BatchSizes(1, wanted) if size is None else BatchSizes(size, size)
