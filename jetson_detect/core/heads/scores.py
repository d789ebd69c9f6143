"""From a network's class scores to the candidates that are worth decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

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

    """
    offset = 1 if background is Background.FIRST else 0
    classes = raw.shape[-1] - (background is not Background.NONE)
    columns: NDArray[np.intp] | None = None
    if selection.class_ids is not None:
        wanted = sorted(index for index in selection.class_ids if 0 <= index < classes)
        columns = np.array(wanted, np.intp)
    if not raw.size or (columns is not None and not len(columns)):
        nowhere = np.zeros(0, np.intp)
        return Survivors(
            (nowhere,) * (raw.ndim - 1), np.zeros((0, 1), np.float32), np.zeros((0, 1), np.int32)
        )
    seen = raw[..., offset : offset + classes] if columns is None else raw[..., columns + offset]
    where = np.nonzero(_may_survive(raw, seen, selection, activation, background, objectness))
    if activation is Activation.SOFTMAX:
        scores = _softmax(raw[where])[:, offset : offset + classes]
        scores = scores if columns is None else scores[:, columns]
    else:
        scores = _activate(seen[where], activation)
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


def _may_survive(
    raw: NDArray[Any],
    seen: NDArray[Any],
    selection: Selection,
    activation: Activation,
    background: Background,
    objectness: NDArray[Any] | None,
) -> NDArray[np.bool_]:
    """(...): false where the best score is certainly below the threshold."""
    threshold: Any = selection.score_threshold
    if activation is not Activation.NONE:
        threshold = _logit(threshold) - _SLACK
    if objectness is not None:  # no class scores more than the object itself
        return np.asarray(objectness >= threshold)
    if activation is Activation.SOFTMAX:
        if background is Background.NONE:
            return np.ones(seen.shape[:-1], np.bool_)
        # exp(a) / (exp(a) + exp(b) + ...) is at most the sigmoid of a - b.
        threshold = threshold + raw[..., 0 if background is Background.FIRST else -1, None]
    # Several times as fast as the maximum of each row where rows are short and contiguous.
    return np.asarray((seen >= threshold).any(axis=-1))


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
