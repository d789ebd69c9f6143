"""A TensorFlow graph without what inference does not need.

Works on a ``GraphDef`` that holds no variables.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jetson_detect.core.exports.dropout import bypass_dropout

_CHECKS = ("Assert", "CheckNumerics", "CheckNumericsV2", "Print", "PrintV2")
_TRAINING = ("StopGradient", "PreventGradient")
_PASS_THROUGH = (*_TRAINING, "CheckNumericsV2", "Snapshot")
"""Operations with one input that they return as it is."""
_FLOW = ("Switch", "Merge", "Enter", "RefSwitch", "RefMerge", "RefEnter")
"""Of TensorFlow 1's control flow, in which an edge of control says which branch a node is in."""
_CONDITIONS = {"If": "StatefulPartitionedCall", "StatelessIf": "PartitionedCall"}
"""Branches that are functions, and how one calls such a function."""
_LOWERED = "_lower_using_switch_merge"


def clean(tf: Any, graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return the part of a graph that its outputs need, simplified by TensorFlow's Grappler.

    Constants are folded, with the inputs' shapes taken for granted.  Checks, prints, chains of
    ``Identity``, dropout that drops nothing, branches that are never taken and what only a
    gradient passes are removed; placeholders with a default that are no inputs become that
    default.

    Parameters
    ----------
    tf:
        The library.
    graph:
        A ``GraphDef``, which is not changed.
    inputs:
        Names of its placeholders; they stay, even if nothing needs them.
    outputs:
        Names of the nodes whose first output is an output of the network.

    """
    prepared = type(graph)()
    prepared.CopyFrom(graph)
    with_flow = any(node.op in _FLOW for node in prepared.node)
    for node in _all_nodes(prepared):
        # Else branches and loops become TensorFlow 1's, which converters know less of.
        if _LOWERED in node.attr:
            node.attr[_LOWERED].b = False
    for node in prepared.node:
        node.device = ""
        node.attr.pop("_class", None)
        if not with_flow:  # where nothing has an effect, only checks are waited for
            node.input[:] = [name for name in node.input if not name.startswith("^")]
        if node.op == "PlaceholderWithDefault" and node.name not in inputs:
            _make_identity(node, node.attr["dtype"].type)
        elif node.op in _PASS_THROUGH:
            _make_identity(node, node.attr["T"].type)
    simplified = _run_grappler(tf, prepared, inputs, outputs)
    # Both can be seen only where the constants that decide are folded, and leave more to fold.
    while _take_branches(tf, simplified) + bypass_dropout(tf, simplified):
        simplified = _run_grappler(tf, simplified, inputs, outputs)
    _name_functions_by_content(simplified)
    return simplified


def rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give nodes new names, in place; a node that has one of them already gets out of the way."""
    wanted = set(names.values())
    taken = {node.name for node in graph.node} | wanted
    changed = dict(names)
    for node in graph.node:
        if node.name in wanted and node.name not in names:
            count = 1
            while f"{node.name}_{count}" in taken:
                count += 1
            changed[node.name] = f"{node.name}_{count}"
            taken.add(changed[node.name])
    for node in graph.node:
        node.name = changed.get(node.name, node.name)
        node.input[:] = [_renamed(tensor, changed) for tensor in node.input]


def describe_cleaning(before: Any, after: Any) -> tuple[str, ...]:
    """Say what a graph has lost between two states of it."""
    old, new = _operations(before), _operations(after)
    if old == new:
        return ()
    sentences = [f"constants were folded and {len(before.node)} nodes became {len(after.node)}"]
    for what, operations in (
        ("checks and prints", _CHECKS),
        ("gradient stops", _TRAINING),
        ("branches that are never taken", tuple(_CONDITIONS)),
        ("the random numbers of dropout", ("RandomUniform",)),
    ):
        lost = [f"{old[name] - new[name]} {name}" for name in operations if old[name] > new[name]]
        if lost:
            sentences.append(f"{what} were removed: {', '.join(lost)}")
    return tuple(sentences)


def _make_identity(node: Any, kind: int) -> None:
    node.op = "Identity"
    node.attr.clear()
    node.attr["T"].type = kind


def _take_branches(tf: Any, graph: Any) -> int:
    """Call the branch that a constant chooses, in place; return how many were chosen."""
    constants = {node.name: node for node in graph.node if node.op == "Const"}
    count = 0
    for node in graph.node:
        if node.op not in _CONDITIONS or node.input[0] not in constants:
            continue
        taken = bool(tf.make_ndarray(constants[node.input[0]].attr["value"].tensor).all())
        node.op = _CONDITIONS[node.op]
        branch = node.attr["then_branch" if taken else "else_branch"].func
        node.attr["f"].func.CopyFrom(branch)
        for name in set(node.attr) - {"f", "Tin", "Tout"}:
            del node.attr[name]
        del node.input[0]
        count += 1
    return count


def _name_functions_by_content(graph: Any) -> None:
    """Make the names of a graph's functions say what is in them.

    A process of TensorFlow knows each name once, and refuses a function that Grappler has changed
    while the unchanged one is loaded.
    """
    names = {}
    for function in graph.library.function:
        digest = hashlib.sha256(function.SerializeToString(deterministic=True)).hexdigest()
        names[function.signature.name] = f"{function.signature.name}_{digest[:12]}"
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
    for node in _all_nodes(graph):
        for attribute in node.attr.values():
            for called in (attribute.func, *attribute.list.func):
                if called.name in names:
                    called.name = names[called.name]


def _all_nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _operations(graph: Any) -> Counter[str]:
    """Count a graph's operations, those in its functions too."""
    return Counter(node.op for node in _all_nodes(graph))


def _renamed(tensor: str, names: Mapping[str, str]) -> str:
    """Rename the node in a node's input: ``name``, ``name:1``, or ``^name`` for control."""
    control = "^" if tensor.startswith("^") else ""
    node, colon, index = tensor[len(control) :].partition(":")
    return f"{control}{names.get(node, node)}{colon}{index}"


def _run_grappler(tf: Any, graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    with tf.Graph().as_default() as loaded:
        tf.compat.v1.import_graph_def(graph, name="")
        meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph, graph=loaded)
    # What Grappler must keep.
    meta_graph.collection_def["train_op"].node_list.value.extend(
        f"{name}:0" for name in (*inputs, *outputs)
    )
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    kinds = rewriter_config_pb2.RewriterConfig
    # Not those that put in operations which only TensorFlow knows, as _FusedConv2D.
    for name in (
        "arithmetic_optimization", "auto_mixed_precision", "common_subgraph_elimination",
        "implementation_selector", "layout_optimizer", "loop_optimization",
        "pin_to_host_optimization", "remapping", "scoped_allocator_optimization",
        "shape_optimization",
    ):  # fmt: skip
        setattr(rewrites, name, kinds.OFF)
    rewrites.memory_optimization = kinds.NO_MEM_OPT
    # The others take the shapes of inputs for hints, and compute with them at run time.
    rewrites.constant_folding = kinds.AGGRESSIVE
    rewrites.debug_stripper = kinds.ON
    rewrites.dependency_optimization = kinds.ON
    rewrites.function_optimization = kinds.ON
    # Constants that quantised training has put between weights and layers.
    rewrites.experimental_disable_folding_quantization_emulation = True
    rewrites.meta_optimizer_iterations = kinds.TWO
    rewrites.min_graph_nodes = -1
    return tf_optimizer.OptimizeGraph(config, meta_graph)
