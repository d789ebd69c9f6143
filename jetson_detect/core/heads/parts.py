"""The outputs of a network by the part that they play for a head, checked against the head."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.model import Layout, ModelError, ModelSpec

Pattern = tuple["int | str", ...]
"""A shape: numbers must match, words stand for any size."""


def require_parts(
    model: ModelSpec,
    outputs: Mapping[str, TensorInfo],
    required: Collection[str],
    optional: Collection[str] = (),
) -> None:
    """Check that a head has the parts that it needs.

    Raises
    ------
    ModelError
        Naming what is there and what is needed.

    """
    if set(required) <= set(outputs) <= {*required, *optional}:
        return
    more = f" and may have {', '.join(optional)}" if optional else ""
    raise model.error(
        "head.outputs",
        f"has {', '.join(sorted(outputs)) or 'nothing'}",
        f"{model.head.type} needs {', '.join(required)}{more}",
    )


def require_shape(
    model: ModelSpec,
    part: str,
    info: TensorInfo,
    patterns: Sequence[Pattern],
    reason: str = "",
) -> None:
    """Check an output's shape against those that a head can read.

    Sizes that the backend does not know fit any number; so does the shape ``()``, which TFLite
    gives where an operation decides only when it runs.

    Raises
    ------
    ModelError
        Naming the output, its shape and the shapes that fit.

    """
    if not info.shape or any(fits(info.shape, pattern) for pattern in patterns):
        return
    wanted = " or ".join(f"({', '.join(map(str, pattern))})" for pattern in patterns)
    raise shape_error(model, part, info, f"it must be {wanted}{reason}")


def shape_error(model: ModelSpec, part: str, info: TensorInfo, remedy: str) -> ModelError:
    """Make an error about an output's shape."""
    return model.error(
        f"head.outputs.{part}", f"'{info.name}' has shape {tuple(info.shape)}", remedy
    )


def fits(shape: Sequence[int | None], pattern: Pattern) -> bool:
    """Whether a shape can be one of a pattern."""
    return len(shape) == len(pattern) and all(
        size is None or isinstance(wanted, str) or size == wanted
        for size, wanted in zip(shape, pattern)
    )


def map_pattern(model: ModelSpec, channels: int | str) -> Pattern:
    """The shape of a feature map, in the order of the input's layout."""
    if model.input.layout is Layout.NHWC:
        return (1, "h", "w", channels)
    return (1, channels, "h", "w")


def require_table(
    model: ModelSpec, part: str, info: TensorInfo, columns: int, meaning: str
) -> None:
    """Check an output that holds a row for each candidate; see :func:`as_table`."""
    patterns: list[Pattern] = [(1, "N", columns), (1, columns, "N")]
    require_shape(model, part, info, patterns, f": {meaning}")


def as_table(output: NDArray[Any], columns: int) -> NDArray[Any]:
    """View (1, N, columns) or (1, columns, N) as (N, columns)."""
    table: NDArray[Any] = output[0]
    return table if table.shape[1] == columns else table.T
