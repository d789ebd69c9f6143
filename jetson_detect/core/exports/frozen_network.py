"""Any file that TensorFlow reads, as one graph of constants."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendOptions, TensorInfo
from jetson_detect.core.backends.refusals import require_file
from jetson_detect.core.backends.tensorflow.frozen_graph import load_frozen_graph
from jetson_detect.core.backends.tensorflow.keras_file import load_keras_file
from jetson_detect.core.backends.tensorflow.network import Network
from jetson_detect.core.backends.tensorflow.process import set_up
from jetson_detect.core.backends.tensorflow.saved_model import load_saved_model
from jetson_detect.core.exports.errors import ExportError, import_exporter, refusing
from jetson_detect.core.exports.graph_cleaning import clean, describe_cleaning, rename
from jetson_detect.core.exports.input_shapes import Shape, describe_fixed, fix_shapes
from jetson_detect.core.exports.session_freezing import (
    has_reference_variables,
    load_from_session,
)
from jetson_detect.core.model import Format, ModelFile

SIGNATURE = "serving_default"
"""Of the SavedModels and TFLite files that are written."""

_LOADERS: dict[Format, Callable[[Any, ModelFile], Network]] = {
    Format.SAVED_MODEL: load_saved_model,
    Format.KERAS: load_keras_file,
    Format.FROZEN_GRAPH: load_frozen_graph,
}
_LARGEST_GRAPH = 2**31 - 2**24
"""Bytes of weights; a protobuf message holds 2 GiB, and a graph is more than its weights."""
_NOT_IN_NODES = re.compile(r"[^A-Za-z0-9_.\\/>-]")
_NOT_IN_ARGUMENTS = re.compile(r"\W")

Outputs = dict[str, Any]
"""Tensors by name."""


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network whose weights are constants."""

    tf: Any
    """The library."""
    source: ModelFile
    graph: Any
    """A ``GraphDef`` in which each input is a ``Placeholder`` and each output an ``Identity``."""
    inputs: tuple[TensorInfo, ...]
    """By the names that the tensorflow backend gives them; in the shapes of this graph."""
    outputs: tuple[TensorInfo, ...]
    nodes: Mapping[str, str]
    """The node of each input and output: its name, but for characters that nodes cannot have."""
    changes: tuple[str, ...]

    @property
    def arguments(self) -> dict[str, str]:
        """For each input and output, a name that a signature can have: its own where it can."""
        return _distinct(self.nodes, _argument_name)

    def function(self) -> Any:
        """Return the network as a function of tensors, in the order of inputs and outputs."""
        tf = self.tf
        wrapped = tf.compat.v1.wrap_function(
            lambda: tf.compat.v1.import_graph_def(self.graph, name=""), []
        )
        fed, fetched = (
            [wrapped.graph.get_tensor_by_name(f"{self.nodes[info.name]}:0") for info in infos]
            for infos in (self.inputs, self.outputs)
        )
        return wrapped.prune(fed, fetched)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Infer once, by the names of inputs and outputs."""
        tensors = [self.tf.constant(inputs[info.name]) for info in self.inputs]
        values = self.function()(*tensors)
        return {info.name: np.asarray(value) for info, value in zip(self.outputs, values)}

    def save(self, folder: str, then: Callable[[Outputs], Outputs] | None = None) -> None:
        """Write a SavedModel with one signature, :data:`SIGNATURE`, named by :attr:`arguments`.

        Parameters
        ----------
        folder:
            Where to.
        then:
            Makes the signature's outputs of the network's, both by name; None leaves them.

        """
        tf = self.tf
        arguments = self.arguments
        module = tf.Module()
        module.network = self.function()  # which must live as long as the module

        def serve(**tensors: Any) -> Outputs:
            values = module.network(*(tensors[arguments[info.name]] for info in self.inputs))
            outputs = {info.name: value for info, value in zip(self.outputs, values)}
            if then is not None:
                outputs = then(outputs)
            return {
                arguments.get(name, name): tf.identity(value, name=arguments.get(name, name))
                for name, value in outputs.items()
            }

        specs = {
            arguments[info.name]: tf.TensorSpec(info.shape, info.dtype, name=arguments[info.name])
            for info in self.inputs
        }
        signature = tf.function(serve).get_concrete_function(**specs)
        tf.saved_model.save(module, folder, signatures={SIGNATURE: signature})


def freeze(
    source: ModelFile, batch: int | None = 1, shapes: Mapping[str, Shape] | None = None
) -> FrozenNetwork:
    """Load a file and make constants of its weights.

    Parameters
    ----------
    source:
        A SavedModel, a Keras file or a frozen graph.
    batch, shapes:
        What is fixed of its inputs' shapes; see
        :func:`jetson_detect.core.exports.input_shapes.fix_shapes`.

    Raises
    ------
    ExportError
        If TensorFlow is missing, cannot load the file, or cannot make constants of it.

    """
    if source.format not in _LOADERS:
        raise ExportError(
            f"{source.path}: {source.format.value} cannot be converted; give one of "
            f"{', '.join(kind.value for kind in _LOADERS)}"
        )
    tf = import_tensorflow()
    with refusing(
        source,
        f"TensorFlow {tf.__version__} cannot load it as {source.format.value}",
        "correct 'format' in model.yaml, or save the model again",
    ):
        require_file(source)
        set_up(tf, BackendOptions())
        load = _LOADERS[source.format]
        if source.format is Format.SAVED_MODEL and has_reference_variables(source.path):
            load = load_from_session
        network = load(tf, source)
    fixed = fix_shapes(source.path, network.inputs, batch, shapes or {})
    with refusing(
        source,
        f"TensorFlow {tf.__version__} cannot make constants of its weights",
        "save the model for inference again, without lookup tables and other resources",
    ):
        return _freeze(tf, source, network, fixed)


def import_tensorflow() -> Any:
    """Import TensorFlow, and have it say less at its start.

    Raises
    ------
    ExportError
        If it is missing or does not work here.

    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return import_exporter("tensorflow", "pip install tensorflow")


def finish(
    tf: Any,
    source: ModelFile,
    graph: Any,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    changes: Sequence[str] = (),
) -> FrozenNetwork:
    """Clean a graph of constants and name its nodes like its inputs and outputs.

    Parameters
    ----------
    tf, source:
        As in :class:`FrozenNetwork`.
    graph:
        A ``GraphDef`` without variables.
    inputs, outputs:
        The node of each, by the name that it is to have.  An output's is consumed by nobody.
    changes:
        What was changed before.

    Raises
    ------
    ExportError
        If an input and an output have the same name.

    """
    both = sorted(set(inputs) & set(outputs))
    if both:
        raise ExportError(
            f"{source.path}: '{both[0]}' is an input and an output; give the output another name"
        )
    cleaned = clean(tf, graph, list(inputs.values()), list(outputs.values()))
    changes = (*changes, *describe_cleaning(graph, cleaned))
    nodes = _distinct([*inputs, *outputs], _node_name)
    rename(cleaned, {old: nodes[name] for name, old in (*inputs.items(), *outputs.items())})
    with tf.Graph().as_default() as loaded:
        tf.compat.v1.import_graph_def(cleaned, name="")

    def describe(names: Iterable[str]) -> tuple[TensorInfo, ...]:
        tensors = ((name, loaded.get_tensor_by_name(f"{nodes[name]}:0")) for name in names)
        return tuple(
            TensorInfo(
                name,
                () if tensor.shape.rank is None else tuple(tensor.shape.as_list()),
                np.dtype(tensor.dtype.as_numpy_dtype),
            )
            for name, tensor in tensors
        )

    return FrozenNetwork(
        tf, source, cleaned, describe(inputs), describe(outputs), nodes, tuple(changes)
    )


def _freeze(
    tf: Any, source: ModelFile, network: Network, shapes: Mapping[str, Shape]
) -> FrozenNetwork:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def run(*tensors: Any) -> list[Any]:
        results = network.call(dict(zip(shapes, tensors)))
        return [
            # What the backend says of an output of bfloat16, too, as NumPy does not know it.
            tf.cast(results[info.name], info.dtype)
            if results[info.name].dtype == tf.bfloat16
            else tf.identity(results[info.name])
            for info in network.outputs
        ]

    specs = [
        tf.TensorSpec(shapes[info.name], info.dtype, name=f"input_{index}")
        for index, info in enumerate(network.inputs)
    ]
    function = tf.function(run, input_signature=specs).get_concrete_function()
    variables = [tensor for tensor in function.captured_inputs if tensor.dtype == tf.resource]
    _refuse_too_large(source, function)
    # Not lowered, control flow stays one operation, which every converter knows.
    frozen = convert_variables_to_constants_v2(
        function, lower_control_flow=False, aggressive_inlining=True
    )
    changes = list(describe_fixed(network.inputs, shapes))
    if variables:
        changes.append(f"variables became constants: {len(variables)}")
    return finish(
        tf,
        source,
        frozen.graph.as_graph_def(),
        {info.name: tensor.op.name for info, tensor in zip(network.inputs, frozen.inputs)},
        {info.name: tensor.op.name for info, tensor in zip(network.outputs, frozen.outputs)},
        changes,
    )


def _refuse_too_large(source: ModelFile, function: Any) -> None:
    size = sum(
        variable.dtype.size * (variable.shape.num_elements() or 0)
        for variable in function.graph.variables
    )
    if size > _LARGEST_GRAPH:
        raise ExportError(
            f"{source.path}: holds {size / 2**30:.1f} GiB of weights, but a TensorFlow graph of "
            "constants holds 2; export it as ONNX where it was trained"
        )


def _distinct(names: Iterable[str], make: Callable[[str], str]) -> dict[str, str]:
    """Make a name of each name, no two alike."""
    made: dict[str, str] = {}
    for name in names:
        wanted = candidate = make(name)
        count = 0
        while candidate in made.values():
            count += 1
            candidate = f"{wanted}_{count}"
        made[name] = candidate
    return made


def _node_name(name: str) -> str:
    """Return the name of a node for a tensor, which may be called ``node:0``."""
    node = _NOT_IN_NODES.sub("_", name.removesuffix(":0"))
    return node if node[:1].isalnum() or node[:1] == "." else f"tensor{node}"


def _argument_name(name: str) -> str:
    argument = _NOT_IN_ARGUMENTS.sub("_", name.removesuffix(":0"))
    return argument if argument.isidentifier() else f"tensor_{argument}"
