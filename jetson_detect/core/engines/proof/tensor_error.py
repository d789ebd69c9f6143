"""How far an engine's raw outputs are from its source's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.engines.proof.frame_run import FrameRun


@dataclass(frozen=True)
class TensorError:
    """How far one output is off, over all frames that both kept."""

    name: str
    frames: int
    largest: float
    """The largest difference of two numbers."""
    relative: float
    """The same as a share of the largest magnitude in the source's output."""
    mean: float
    """The mean difference of two numbers, without sign."""
    rms: float
    """The root mean square of the differences, as a share of that of the source's output."""
    cosine: float
    """The cosine of the angle between both as vectors: 1 where they point the same way."""


@dataclass(frozen=True)
class TensorComparison:
    """The outputs that can be compared, and why the others cannot."""

    errors: tuple[TensorError, ...] = ()
    skipped: tuple[str, ...] = ()
    """Sentences that name an output, or all of them, and the reason."""
    broken: tuple[str, ...] = ()
    """Sentences on outputs that should be alike and have another shape."""


def compare_tensors(engine: FrameRun, source: FrameRun) -> TensorComparison:
    """Compare raw outputs of the same name and shape, in float64."""
    if engine.listed or source.listed:
        who = "engine" if engine.listed else "source"
        return TensorComparison(
            skipped=(
                f"outputs: the {who}'s are lists of objects that it has picked itself, in which "
                "rows may swap places",
            )
        )
    frames = sorted(set(engine.tensors) & set(source.tensors))
    if not frames:
        return TensorComparison(
            skipped=("outputs: those of a single frame take more memory than tensor_mb allows",)
        )
    errors: list[TensorError] = []
    skipped: list[str] = []
    broken: list[str] = []
    ours_head, theirs_head = engine.head, source.head
    alike = (ours_head.type, ours_head.outputs) == (theirs_head.type, theirs_head.outputs)
    for name in source.tensors[frames[0]]:
        if name not in engine.tensors[frames[0]]:
            skipped.append(f"{name}: the engine has no such output: its own are decoded otherwise")
            continue
        ours = [engine.tensors[frame][name] for frame in frames]
        theirs = [source.tensors[frame][name] for frame in frames]
        shapes = next(
            ((a.shape, b.shape) for a, b in zip(ours, theirs) if a.shape != b.shape), None
        )
        if shapes is not None:
            sentence = f"{name}: has shape {shapes[0]} in the engine and {shapes[1]} in the source"
            (broken if alike else skipped).append(sentence)
        elif theirs[0].dtype.kind != "f" or ours[0].dtype.kind != "f":
            skipped.append(f"{name}: holds whole numbers, whose differences say nothing")
        else:
            errors.append(_error(name, ours, theirs))
    return TensorComparison(tuple(errors), tuple(skipped), tuple(broken))


def _error(name: str, ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> TensorError:
    """Add up frame by frame, so that no more than one frame is in double precision at a time."""
    largest = magnitude = total = squares = 0.0
    product = own_norm = norm = 0.0
    count = 0
    for found, reference in zip(ours, theirs):
        if not found.size:
            continue
        a = found.astype(np.float64).ravel()
        b = reference.astype(np.float64).ravel()
        off = np.abs(a - b)
        largest = max(largest, float(off.max()))
        magnitude = max(magnitude, float(np.abs(b).max()))
        total += float(off.sum())
        squares += float(off @ off)
        product += float(a @ b)
        own_norm += float(a @ a)
        norm += float(b @ b)
        count += off.size
    return TensorError(
        name=name,
        frames=len(ours),
        largest=largest,
        # Of a source's output that is 0 throughout no share can be taken.
        relative=largest / magnitude if magnitude else largest,
        mean=total / max(1, count),
        rms=math.sqrt(squares / norm) if norm else math.sqrt(squares / max(1, count)),
        cosine=_cosine(product, own_norm, norm),
    )


def _cosine(product: float, first: float, second: float) -> float:
    if not first or not second:
        return 1.0 if first == second else 0.0
    return min(1.0, max(-1.0, product / math.sqrt(first * second)))
