"""What training makes small: errors of the heatmap, and of the boxes at the objects.

Truth and guess come as one tensor each, ``(B, rows, columns, channels)``, channels in the order of
:data:`CHANNELS`; the truth has one more, the weight of each cell's box.  Written with
``keras.ops``, for any backend of Keras.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from jetson_detect.core.scenes import CLASS_NAMES

CHANNELS = (len(CLASS_NAMES), 2, 2)
"""Of heatmap, offset (x, y in cells) and size (logarithm of width and height in cells)."""
_OFFSET = CHANNELS[0]
_SIZE = _OFFSET + CHANNELS[1]
_WEIGHT = _SIZE + CHANNELS[2]


def detection_loss(truth: Any, guess: Any) -> Any:
    """Return what is made small, for each object of the batch."""
    # An object weighs 1 + 8 * 0.5 in the boxes: bring them back to the heatmap's level.
    return (
        heatmap_loss(truth, guess)
        + 0.4 * box_loss(truth, guess)
        + 0.01 * _drift_loss(guess[..., _OFFSET:_SIZE], guess[..., _SIZE:_WEIGHT])
    )


def heatmap_loss(truth: Any, guess: Any) -> Any:
    """Return the focal loss of "Objects as Points", for each object of the batch."""
    truth = truth[..., :_OFFSET]
    guess = ops.clip(guess[..., :_OFFSET], 1e-4, 1.0 - 1e-4)
    center = ops.cast(truth >= 1.0, "float32")
    hit = center * ops.square(1.0 - guess) * ops.log(guess)
    # Cells near a centre are half right: they count less the nearer they are.
    near = ops.power(1.0 - truth, 4.0)
    miss = (1.0 - center) * near * ops.square(guess) * ops.log(1.0 - guess)
    return -ops.sum(hit + miss) / _objects(truth)


def box_loss(truth: Any, guess: Any) -> Any:
    """Return the loss of the boxes, for each object of the batch.

    The generalised IoU is what the benchmark measures, the distances give a slope also where
    boxes hardly overlap.
    """
    true_offset, true_size = truth[..., _OFFSET:_SIZE], truth[..., _SIZE:_WEIGHT]
    offset, size = guess[..., _OFFSET:_SIZE], ops.clip(guess[..., _SIZE:_WEIGHT], -2.0, 5.0)
    half, true_half = ops.exp(size) / 2.0, ops.exp(true_size) / 2.0
    low, high = offset - half, offset + half
    true_low, true_high = true_offset - true_half, true_offset + true_half
    common = ops.prod(ops.relu(ops.minimum(high, true_high) - ops.maximum(low, true_low)), axis=-1)
    hull = ops.prod(ops.maximum(high, true_high) - ops.minimum(low, true_low), axis=-1)
    union = ops.prod(2.0 * half, axis=-1) + ops.prod(2.0 * true_half, axis=-1) - common
    giou = common / (union + 1e-6) - (hull - union) / (hull + 1e-6)
    distance = ops.sum(ops.abs(offset - true_offset) + ops.abs(size - true_size), axis=-1)
    loss = ops.sum(truth[..., _WEIGHT] * (2.0 * (1.0 - giou) + 0.5 * distance))
    return loss / _objects(truth[..., :_OFFSET])


def _drift_loss(offset: Any, size: Any) -> Any:
    """Return a weak pull of offset and size to usual values, averaged over all cells.

    Cells without an object are free to say anything. Should they use that, the range of the
    output grows, and with it the step of an 8-bit output, for all cells.
    """
    return ops.mean(ops.square(offset - 0.5)) + ops.mean(ops.square(size - 1.8))


def _objects(heatmap: Any) -> Any:
    """Count the objects: each is exactly 1 in one cell."""
    return ops.maximum(1.0, ops.sum(ops.cast(heatmap >= 1.0, "float32")))
