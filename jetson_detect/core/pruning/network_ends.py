"""Which layers of a network are its first and its last ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jetson_detect.core.pruning.errors import PruningError


def end_layers(
    keras: Any, model: Any, counts: Callable[[Any], bool]
) -> tuple[list[Any], list[Any]]:
    """Find the layers between which and the inputs, or the outputs, no other one lies.

    Args:
        keras: the library.
        model: a model that has a graph: functional or sequential; models in it are entered.
        counts: says whether a layer is one of those among which first and last are sought.

    Returns
    -------
    The first layers and the last ones; a network with several outputs has several last ones.

    Raises
    ------
    PruningError
        If the model, or one in it, is a subclass of Model with code instead of a graph.

    """
    layers, sources, outputs = _graph(keras, model)
    consumers: dict[str, set[str]] = defaultdict(set)
    for name, before in sources.items():
        for source in before:
            consumers[source].add(name)

    def holds(layer: Any) -> bool:
        if isinstance(layer, keras.Model):
            return any(map(holds, layer.layers))
        return counts(layer)

    def reached(starts: Iterable[str], onward: Mapping[str, set[str]], end: int) -> list[Any]:
        found: list[Any] = []
        waiting = list(starts)
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            layer = layers[name]
            if not holds(layer):
                new = onward.get(name, set()) - seen
                seen |= new
                waiting += sorted(new)
            elif isinstance(layer, keras.Model):
                found += end_layers(keras, layer, counts)[end]
            else:
                found.append(layer)
        return found

    inputs = [name for name, before in sources.items() if not before]
    return reached(inputs, consumers, 0), reached(outputs, sources, 1)


def _graph(keras: Any, model: Any) -> tuple[dict[str, Any], dict[str, set[str]], set[str]]:
    """Return the layers, the names of those that each takes from, and of those that give outputs.

    All by name.  A model's configuration is what its file holds, hence the same in every release
    of Keras 3.
    """
    if isinstance(model, keras.Sequential):
        names = [layer.name for layer in model.layers]
        before = [set[str](), *({name} for name in names)]
        return dict(zip(names, model.layers)), dict(zip(names, before)), set(names[-1:])
    try:
        config = model.get_config()
    except NotImplementedError:
        config = {}
    if "output_layers" not in config:
        raise PruningError(
            f"model '{model.name}' is a {type(model).__name__} with code instead of a graph, so "
            "its first and last layers cannot be told; name them in skip and set prune_ends, or "
            "build it as a functional model"
        )
    return (
        {operation.name: operation for operation in model.operations},
        {layer["name"]: set(_taken_from(layer["inbound_nodes"])) for layer in config["layers"]},
        set(_named(config["output_layers"])),
    )


def _taken_from(node: Any) -> Iterator[str]:
    """Find the names of layers in the serialised arguments of a layer's calls."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
            return
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for part in node:
            yield from _taken_from(part)


def _named(outputs: Any) -> Iterator[str]:
    """Find the names of layers in ``[name, node, tensor]``, alone or in lists and dictionaries."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs[0], str):
        yield outputs[0]
        return
    for output in outputs:
        yield from _named(output)
