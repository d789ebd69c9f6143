"""What every kind of TensorFlow file becomes: a function of tensors by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jetson_detect.core.backends.base import TensorInfo

_TRIAL_PICTURE = (1, 64, 64, 3)
"""What a trial run takes for dimensions of a picture that are not fixed."""
_PICTURE_RANK = len(_TRIAL_PICTURE)

Call = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes and returns ``tf.Tensor`` by name; may return more than was asked for."""


@dataclass(frozen=True, eq=False)
class Network:
    """A function, and what its tensors look like."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    call: Call
    owner: Any = field(default=None, repr=False)
    """Whatever must live as long: graphs hold their variables by weak references."""


def describe(
    tf: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any], call: Call, owner: Any = None
) -> Network:
    """Make a network of a function.

    Parameters
    ----------
    tf:
        The library.
    inputs, outputs:
        By name, anything with TensorFlow's ``shape`` and ``dtype``.  An input without any shape
        is taken for a picture of four dimensions; how many dimensions an output without a shape
        has is found by running once on zeros.
    call, owner:
        As in :class:`Network`.

    """
    described = tuple(
        TensorInfo(name, _shape(spec, _PICTURE_RANK), np.dtype(spec.dtype.as_numpy_dtype))
        for name, spec in inputs.items()
    )
    ranks = dict.fromkeys(outputs, 0)
    if any(spec.shape.rank is None for spec in outputs.values()):
        zeros = {info.name: tf.zeros(_trial_shape(info), info.dtype) for info in described}
        ranks.update((name, tensor.shape.rank) for name, tensor in call(zeros).items())
    return Network(
        inputs=described,
        outputs=tuple(
            TensorInfo(
                name,
                _shape(spec, ranks[name]),
                # NumPy has no bfloat16, and whoever decodes would not know what to do with it.
                np.dtype(np.float32 if spec.dtype == tf.bfloat16 else spec.dtype.as_numpy_dtype),
            )
            for name, spec in outputs.items()
        ),
        call=call,
        owner=owner,
    )


def _shape(spec: Any, rank: int) -> tuple[int | None, ...]:
    """Return the dimensions; ``rank`` unknown ones where not even their number is known."""
    return (None,) * rank if spec.shape.rank is None else tuple(spec.shape.as_list())


def _trial_shape(info: TensorInfo) -> list[int]:
    guess = _TRIAL_PICTURE if len(info.shape) == _PICTURE_RANK else (1,) * len(info.shape)
    return [size or guessed for size, guessed in zip(info.shape, guess)]
