"""Which weights of a kernel stay."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP = 4
"""Consecutive input channels of which :attr:`Pattern.TWO_OF_FOUR` zeroes a half."""


class Pattern(str, Enum):
    """Where the zeros may lie."""

    UNSTRUCTURED = "unstructured"
    """Anywhere in a kernel."""
    TWO_OF_FOUR = "2:4"
    """Two of every four consecutive input channels, as the sparse tensor cores of NVIDIA GPUs from
    Ampere on take it (Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021)."""


def magnitude_mask(weights: NDArray[Any], sparsity: float) -> NDArray[np.bool_]:
    """Mark the weights of a kernel that stay: all but the smallest.

    Args:
        weights: of any shape; what is zero already goes first.
        sparsity: the share that goes, 0 to 1.

    Returns
    -------
    ``weights.shape``, False at exactly ``round(sparsity * weights.size)`` places.

    """
    mask = np.ones(weights.size, np.bool_)
    pruned = round(sparsity * weights.size)
    if pruned:
        mask[np.argpartition(np.abs(weights).ravel(), pruned - 1)[:pruned]] = False
    return mask.reshape(weights.shape)


def two_of_four_mask(weights: NDArray[Any], input_axis: int) -> NDArray[np.bool_]:
    """Mark the two larger ones of every four weights along the axis of the input channels.

    Args:
        weights: of any shape.
        input_axis: the axis of the input channels, whose length is a multiple of :data:`GROUP`.

    Returns
    -------
    ``weights.shape``.

    """
    channels_last = np.moveaxis(np.abs(weights), input_axis, -1)
    groups = channels_last.reshape(-1, GROUP)
    mask = np.ones(groups.shape, np.bool_)
    smaller = np.argpartition(groups, GROUP // 2 - 1, axis=1)[:, : GROUP // 2]
    np.put_along_axis(mask, smaller, False, axis=1)
    return np.moveaxis(mask.reshape(channels_last.shape), -1, input_axis)
