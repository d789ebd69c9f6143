"""What TF-TRT has converted: engines, and what stayed in TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINE_OPERATION = "TRTEngineOp"
_SEGMENT = "segment_func"
"""The attribute of an engine that names what it replaced, kept to fall back on."""
_BUILDS = "_allow_build_at_runtime"
_ENGINE_FILES = "assets/trt-serialized-engine.*"
_NOT_COMPUTING = frozenset(
    ("Placeholder", "Const", "Identity", "IdentityN", "NoOp", "PartitionedCall",
     "StatefulPartitionedCall", "_Arg", "_Retval")
)  # fmt: skip


@dataclass(frozen=True)
class Census:
    """Of a SavedModel that TF-TRT wrote."""

    engines: int
    """Parts of the network that are to run in TensorRT."""
    engines_built: int
    """Of those, the ones whose engine lies in the folder; for others there is none."""
    operations_in_engines: Mapping[str, int]
    operations_left: Mapping[str, int]
    """What TensorFlow itself computes, by type."""
    segments_left: int
    """How many connected parts those are: between each and an engine, tensors change hands."""


def take_census(folder: Path, signature: str) -> Census:
    """Count what a signature of a SavedModel runs."""
    meta = _read(folder).meta_graphs[0]
    functions = {function.signature.name: function for function in meta.graph_def.library.function}
    engines: set[str] = set()
    inside: Counter[str] = Counter()
    left: Counter[str] = Counter()
    segments = 0
    for nodes in _bodies(meta, signature, functions):
        left_here = {}
        for node in nodes:
            name = node.name.rpartition("/")[2]
            if node.op == ENGINE_OPERATION:
                if name not in engines:
                    replaced = functions.get(node.attr[_SEGMENT].func.name)
                    inside.update(_computing(replaced.node_def if replaced else ()))
                engines.add(name)
            elif node.op not in _NOT_COMPUTING:
                left_here[node.name] = node
        left.update(_computing(left_here.values()))
        segments += _connected(left_here)
    built = [file for file in folder.glob(_ENGINE_FILES) if file.stat().st_size]
    return Census(
        len(engines),
        len(built),
        dict(sorted(inside.items())),
        dict(left.most_common()),
        segments,
    )


def forbid_builds(folder: Path) -> None:
    """Have engines that are missing at run time not be built, which takes minutes, but left out.

    The converter's own ``allow_build_at_runtime=False`` loses the names of the outputs.
    """
    content = _read(folder)
    for meta in content.meta_graphs:
        for function in meta.graph_def.library.function:
            for node in function.node_def:
                if node.op == ENGINE_OPERATION:
                    node.attr[_BUILDS].b = False
        for node in meta.graph_def.node:
            if node.op == ENGINE_OPERATION:
                node.attr[_BUILDS].b = False
    (folder / "saved_model.pb").write_bytes(content.SerializeToString(deterministic=True))


def _read(folder: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    return content


def _bodies(meta: Any, signature: str, functions: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the nodes of the graph and of each function that a signature runs."""
    nodes = {node.name: node for node in meta.graph_def.node}
    waiting = [info.name for info in meta.signature_def[signature].outputs.values()]
    needed: dict[str, Any] = {}
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in needed:
            needed[name] = nodes[name]
            waiting.extend(nodes[name].input)
    yield list(needed.values())
    called = list(_called(needed.values()))
    seen: set[str] = set()
    while called:
        name = called.pop()
        if name in functions and name not in seen:
            seen.add(name)
            yield list(functions[name].node_def)
            called.extend(_called(functions[name].node_def))


def _called(nodes: Any) -> Iterator[str]:
    for node in nodes:
        for key, attribute in node.attr.items():
            if key == _SEGMENT:
                continue
            for function in (attribute.func, *attribute.list.func):
                if function.name:
                    yield function.name


def _computing(nodes: Any) -> Counter[str]:
    return Counter(node.op for node in nodes if node.op not in _NOT_COMPUTING)


def _connected(nodes: Mapping[str, Any]) -> int:
    """Count the connected parts that some nodes of a graph form."""
    parent = {name: name for name in nodes}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for name, node in nodes.items():
        for tensor in node.input:
            before = tensor.lstrip("^").partition(":")[0]
            if before in nodes:
                parent[root(name)] = root(before)
    return sum(name == above for name, above in parent.items())
