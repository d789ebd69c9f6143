"""From a network's class scores to the candidates that are worth decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.selection import Selection, rank_hypotheses

_SLACK = 1e-4
"""How far below the threshold logits are still looked at: they are compared exactly as scores."""


class Activation(str, Enum):
    """What turns a network's class outputs into scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"
    """The network has done it itself."""


class Background(str, Enum):
    """Which class output stands for "no object"."""

    NONE = "none"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, eq=False)
class Survivors:
    """Candidates with a hypothesis that is wanted; M of them."""

    where: tuple[NDArray[np.intp], ...]
    """Their places, (M,) for each axis of the class scores but the last."""
    scores: NDArray[np.float32]
    """(M, K): best first; 0 for a hypothesis that is below the threshold."""
    class_ids: NDArray[np.int32]
    """(M, K); the background is not counted."""


def find_survivors(
    raw: NDArray[Any],
    selection: Selection,
    activation: Activation = Activation.NONE,
    background: Background = Background.NONE,
    objectness: NDArray[Any] | None = None,
    among: NDArray[np.intp] | None = None,
) -> Survivors:
    """Find the candidates whose best wanted class reaches the score threshold.

    Scores are computed for these only; what is below is told from the raw outputs.

    Parameters
    ----------
    raw:
        (..., C): class outputs, of any order in memory.
    selection:
        What is wanted.
    activation:
        What turns ``raw``, and ``objectness`` if given, into scores.
    background:
        Which of the C outputs is no class.
    objectness:
        (...): multiplied with each class score.
    among:
        (M,), ascending: the only candidates of (N, C) that are looked at; all without it.

    """
    offset = 1 if background is Background.FIRST else 0
    classes = raw.shape[-1] - (background is not Background.NONE)
    columns: NDArray[np.intp] | None = None
    if selection.class_ids is not None:
        wanted = sorted(index for index in selection.class_ids if 0 <= index < classes)
        columns = np.array(wanted, np.intp)
    if not raw.size or classes < 1 or (columns is not None and not len(columns)):
        nowhere = np.zeros(0, np.intp)
        return Survivors(
            (nowhere,) * (raw.ndim - 1), np.zeros((0, 1), np.float32), np.zeros((0, 1), np.int32)
        )
    where: tuple[NDArray[np.intp], ...]
    if among is None:
        of_classes = slice(offset, offset + classes) if columns is None else columns + offset
        seen = raw[..., of_classes]
        where = np.nonzero(_may_survive(raw, seen, selection, activation, background, objectness))
    else:
        where = (among,)
    rows = raw[where]
    if activation is Activation.SOFTMAX:
        rows = _softmax(rows)
    scores = rows[:, offset : offset + classes] if columns is None else rows[:, columns + offset]
    if activation is not Activation.SOFTMAX:
        scores = _activate(scores, activation)
    if objectness is not None:
        scores = scores * _activate(objectness[where], activation)[:, None]
    ranked, class_ids = rank_hypotheses(scores, selection)
    if columns is not None:
        class_ids = columns.astype(np.int32)[class_ids]
    kept = ranked[:, 0] > 0
    if not kept.all():
        where = tuple(index[kept] for index in where)
        ranked, class_ids = ranked[kept], class_ids[kept]
    return Survivors(where, ranked, class_ids)


def raw_limit(score_threshold: float, activation: Activation) -> float:
    """Return what an output must reach at the least, before it is turned into a score.

    For a softmax it is what an output must have more than another one.
    """
    if activation is Activation.NONE:
        return score_threshold
    return _logit(score_threshold) - _SLACK


def _may_survive(
    raw: NDArray[Any],
    seen: NDArray[Any],
    selection: Selection,
    activation: Activation,
    background: Background,
    objectness: NDArray[Any] | None,
) -> NDArray[np.bool_]:
    """(...): false where the best score is certainly below the threshold."""
    threshold = raw_limit(selection.score_threshold, activation)
    if objectness is not None:  # no class scores more than the object itself
        return _at_least(objectness, threshold)
    if activation is Activation.SOFTMAX:
        if background is Background.NONE:
            return np.ones(seen.shape[:-1], np.bool_)
        # exp(a) / (exp(a) + exp(b) + ...) is at most the sigmoid of a - b.
        others = raw[..., 0 if background is Background.FIRST else -1, None]
        limits = others.astype(np.float32, copy=False) + np.float32(threshold)
        return np.asarray((seen >= limits).any(axis=-1))
    return _any_at_least(seen, threshold)


def _any_at_least(rows: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """(...): which rows, (..., C), hold a number that is no less than a finite threshold.

    NumPy goes through many short rows one by one, which takes longer than to compare them.  So
    rows that follow each other in memory are compared all at once, with what lies between them,
    and what came out is transposed.
    """
    pitch = _pitch(rows)
    if pitch is None:
        return np.asarray(_at_least(rows, threshold).any(axis=-1))
    width = rows.shape[-1]
    count = rows.size // width
    span = (count - 1) * pitch + width
    run = np.lib.stride_tricks.as_strided(rows, (span,), (rows.itemsize,), writeable=False)
    found = np.empty((count, pitch), np.bool_)
    _at_least(run, threshold, out=found.reshape(-1)[:span])
    columns = cv2.transpose(found.view(np.uint8))[:width].view(np.bool_)
    return columns.any(axis=0).reshape(rows.shape[:-1])


def _pitch(rows: NDArray[Any]) -> int | None:
    """Return the numbers from one row, (..., C), to the next, if all are contiguous and in line."""
    strides, size = rows.strides, rows.itemsize
    lined_up = (
        rows.ndim > 1
        and strides[-1] == size
        and strides[-2] % size == 0
        and strides[-2] >= rows.shape[-1] * size
        and all(
            outer == inner * length
            for outer, inner, length in zip(strides, strides[1:-1], rows.shape[1:-1])
        )
    )
    return strides[-2] // size if lined_up else None


def _at_least(
    values: NDArray[Any], threshold: float, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Compare with a threshold in the precision of the values, which are finite.

    Half-precision numbers are compared by their bits, of which the first is the sign and the
    others grow with the magnitude: most processors would convert each to a float first, which
    takes fifty times as long.
    """
    if values.dtype != np.float16:
        return np.asarray(np.greater_equal(values, threshold, out=out))
    limit = np.float16(threshold)
    if limit > 0:  # as signed integers, all negative numbers are less
        return np.asarray(np.greater_equal(values.view(np.int16), limit.view(np.int16), out=out))
    # As unsigned ones, all positive numbers are less, and negative ones grow towards -infinity.
    limit = -np.abs(limit)
    return np.asarray(np.less_equal(values.view(np.uint16), limit.view(np.uint16), out=out))


def _activate(raw: NDArray[Any], activation: Activation) -> NDArray[np.float32]:
    values: NDArray[np.float32] = raw.astype(np.float32, copy=False)
    return sigmoid(values) if activation is Activation.SIGMOID else values


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """``1 / (1 + exp(-x))``, by the hyperbolic tangent, which cannot overflow."""
    half = np.float32(0.5)
    result: NDArray[np.float32] = np.tanh(logits * half) * half + half
    return result


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Softmax over the last axis, (M, C)."""
    values: NDArray[np.float32] = logits.astype(np.float32)
    values -= values.max(axis=-1, keepdims=True) if len(values) else 0
    np.exp(values, out=values)
    values /= values.sum(axis=-1, keepdims=True)
    return values


def _logit(score: float) -> float:
    """Undo the sigmoid; -inf at 0, and finite at 1, which float32 scores do reach."""
    if score <= 0.0:
        return -math.inf
    score = min(score, 1.0 - 1e-7)
    return math.log(score) - math.log1p(-score)
