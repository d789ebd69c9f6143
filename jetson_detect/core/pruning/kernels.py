"""The kernels of a network, and which of them are pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from jetson_detect.core.pruning.errors import PruningError
from jetson_detect.core.pruning.masks import GROUP, Pattern
from jetson_detect.core.pruning.network_ends import end_layers
from jetson_detect.core.pruning.options import PruningOptions

_BEFORE_LAST, _LAST = -2, -1
_DEPTHWISE = None

_LAYERS: dict[str, dict[str, int | None]] = {
    "Dense": {"kernel": _BEFORE_LAST},
    "Conv1D": {"kernel": _BEFORE_LAST},
    "Conv2D": {"kernel": _BEFORE_LAST},
    "Conv3D": {"kernel": _BEFORE_LAST},
    "Conv1DTranspose": {"kernel": _LAST},
    "Conv2DTranspose": {"kernel": _LAST},
    "Conv3DTranspose": {"kernel": _LAST},
    "DepthwiseConv1D": {"kernel": _DEPTHWISE},
    "DepthwiseConv2D": {"kernel": _DEPTHWISE},
    "SeparableConv1D": {"depthwise_kernel": _DEPTHWISE, "pointwise_kernel": _BEFORE_LAST},
    "SeparableConv2D": {"depthwise_kernel": _DEPTHWISE, "pointwise_kernel": _BEFORE_LAST},
}
"""By layer: its kernels, and the axis along which each sums over input channels, if it does."""


@dataclass(frozen=True)
class Kernel:
    """A kernel of a layer."""

    layer: str
    """The layer's name; within a model that is a layer itself: ``MODEL/LAYER``."""
    name: str
    """The layer's attribute."""
    variable: Any
    input_axis: int | None
    """The axis of the channels that are summed; None for a depthwise kernel."""
    kept: str
    """Why it is not pruned; empty if it is."""


def find_kernels(
    keras: Any, model: Any, trained: list[Any], options: PruningOptions
) -> list[Kernel]:
    """List the kernels of a network, in the order of its layers.

    Args:
        keras: the library.
        model: the network.
        trained: the variables that training changes.
        options: what is pruned.

    Raises
    ------
    PruningError
        If none is pruned, a name in ``options.skip`` fits no layer, or first and last layers
        cannot be told.

    """
    kinds = [(getattr(keras.layers, kind), kernels) for kind, kernels in _LAYERS.items()]

    def kernels_of(layer: Any) -> dict[str, int | None]:
        return next((kernels for kind, kernels in kinds if isinstance(layer, kind)), {})

    layers = {name: layer for name, layer in _leaves(keras, model) if kernels_of(layer)}
    _check_skipped(options.skip, layers)
    ends = {} if options.prune_ends else _ends(keras, model, lambda layer: bool(kernels_of(layer)))
    trained_ids = {id(variable) for variable in trained}

    def why_kept(name: str, layer: Any, variable: Any, axis: int | None) -> str:
        skipped = next((each for each in options.skip if fnmatchcase(name, each)), None)
        if skipped is not None:
            return f"skipped ({skipped})"
        if id(layer) in ends:
            return ends[id(layer)]
        if id(variable) not in trained_ids:
            return "not trained"
        if axis is None and not options.prune_depthwise:
            return "depthwise"
        if options.pattern is Pattern.TWO_OF_FOUR:
            if axis is None:
                return "depthwise: no input channels to group"
            if variable.shape[axis] % GROUP:
                return f"{variable.shape[axis]} input channels, not a multiple of {GROUP}"
        return ""

    found = [
        Kernel(name, kernel, variable, axis, why_kept(name, layer, variable, axis))
        for name, layer in layers.items()
        for kernel, axis in kernels_of(layer).items()
        for variable in (getattr(layer, kernel),)
    ]
    if all(kernel.kept for kernel in found):
        reasons = ", ".join(f"{each.layer}: {each.kept}" for each in found) or "it has no kernels"
        raise PruningError(
            f"nothing of model '{model.name}' would be pruned ({reasons}); make_training must "
            "train the model that it is given, not a copy; prune_ends and prune_depthwise allow "
            "more"
        )
    return found


def _leaves(keras: Any, model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List a model's layers, and those of models in it, with their names."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(keras, layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def _ends(keras: Any, model: Any, counts: Callable[[Any], bool]) -> dict[int, str]:
    """Name the layers, by their identities, that are first or last."""
    first, last = end_layers(keras, model, counts)
    return {id(each): "last layer" for each in last} | {id(each): "first layer" for each in first}


def _check_skipped(skip: Iterable[str], layers: Iterable[str]) -> None:
    for each in skip:
        if not any(fnmatchcase(name, each) for name in layers):
            raise PruningError(
                f"skip: '{each}' fits none of the layers that have kernels; "
                f"they are {', '.join(layers)}"
            )
