"""Whether a file that was just written runs, and answers as its source does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.exports.errors import ExportError
from jetson_detect.core.exports.input_shapes import Shape

Tensors = Mapping[str, NDArray[Any]]
"""By name."""


def made_up_inputs(infos: Sequence[TensorInfo]) -> dict[str, NDArray[Any]]:
    """Return noise for inputs: from 0 to 1, of bytes from 0 to 255; 1 for open dimensions."""
    generator = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {}
    for info in infos:
        shape = [size or 1 for size in info.shape]
        if np.issubdtype(info.dtype, np.floating):
            inputs[info.name] = generator.random(shape).astype(info.dtype)
        else:
            top = 256 if info.dtype == np.uint8 else 2
            inputs[info.name] = generator.integers(0, top, shape).astype(info.dtype)
    return inputs


def check_inputs(path: object, what: str, infos: Sequence[TensorInfo], inputs: Tensors) -> None:
    """Check that tensors fit the inputs of a network.

    Raises
    ------
    ExportError
        Naming the file ``path``, ``what`` they are for, and what does not fit.

    """
    for info in infos:
        tensor = inputs.get(info.name)
        if tensor is None:
            raise ExportError(
                f"{path}: {what}: there is no tensor for input '{info.name}', but for "
                f"{', '.join(inputs) or 'none'}; give one for each input"
            )
        if tensor.dtype != info.dtype or not fits(tensor.shape, info.shape):
            raise ExportError(
                f"{path}: {what}: the tensor for input '{info.name}' is {tensor.dtype} "
                f"{tensor.shape}, but the network takes {info.dtype} {info.shape}; "
                "preprocess as for the network"
            )


def fits(shape: Sequence[int], described: Shape) -> bool:
    """Whether a tensor has a shape in which some dimensions may be open."""
    return len(shape) == len(described) and all(
        wanted in (size, None) for size, wanted in zip(shape, described)
    )


def compare(path: object, expected: Tensors, found: Tensors) -> dict[str, float]:
    """Return the largest difference of each output, as a part of the range of the source's.

    Parameters
    ----------
    path:
        The file that was written, for errors.
    expected, found:
        Outputs of the source and of the file, of one input, by name.

    Raises
    ------
    ExportError
        If the file lacks an output, or answers as networks do whose weights were lost: with
        numbers that are not finite, or with the same number everywhere.

    """
    errors: dict[str, float] = {}
    varying: list[str] = []  # outputs that vary for the source
    constant: list[str] = []  # and of those, the ones that do not for the file
    for name, wanted in expected.items():
        if name not in found:
            raise ExportError(
                f"{path}: the file has no output '{name}', but {', '.join(found)}; "
                "give the source's outputs simple names"
            )
        real, got = (np.asarray(tensor, np.float64) for tensor in (wanted, found[name]))
        if got.shape != real.shape:
            raise ExportError(
                f"{path}: output '{name}' has the shape {got.shape}, the source's {real.shape}; "
                "fix the open dimensions of the inputs"
            )
        if not np.isfinite(got).all() and np.isfinite(real).all():
            raise ExportError(
                f"{path}: output '{name}' is not finite, the source's is: the conversion lost "
                "weights or left the number range; convert with more precision"
            )
        span = float(np.ptp(real)) if real.size else 0.0
        if span > 0:
            varying.append(name)
            if np.ptp(got) == 0:
                constant.append(name)
        largest = float(np.abs(got - real).max()) if real.size else 0.0
        errors[name] = largest / span if span > 0 else largest
    if varying and varying == constant:
        raise ExportError(
            f"{path}: {', '.join(constant)}: the same number everywhere, unlike the source's: "
            "the conversion lost weights, or the calibration frames do not show what the network "
            "sees; give frames of real scenes"
        )
    return errors
