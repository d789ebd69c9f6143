"""A graph without what nothing needs, in an order and of a version that every reader takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_graphsurgeon, import_onnx
from jetson_detect.core.onnx_graphs.nesting import all_nodes
from jetson_detect.core.onnx_graphs.plugins import plugins_set_apart

if TYPE_CHECKING:
    import onnx

OLD_IR_VERSION = 8
"""The one of opset 17.  TensorRT 8.5 and ONNX Runtime 1.12 to 1.14 read no newer one."""
_FIRST_WITH_FREE_WEIGHTS = 4
"""Up to IR version 3 weights are listed among the inputs."""
_FOLDING_LIMIT_BYTES = 1 << 20
"""A folded constant that takes more would make a file grow: a tiled anchor table does."""
_MOST_ROUNDS = 8
_KEPT_IN_PLACE = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConstantOfShape")
"""What stays: TensorRT reads precisions from the first three, and the last is smaller than what it
makes."""
_LIGHT_BYTES = 1024
"""Weights up to this size may be shapes and indices, which shape inference reads."""
_PROTOBUF_LIMIT_BYTES = (1 << 31) - 1
"""Above it a model cannot be serialised, and so not be checked."""


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Clean a network; what it computes, and the names of its inputs and outputs, stay.

    Nodes and weights that no output needs go; constants are computed where that makes them no
    larger than 1 MiB; nodes are sorted; weights are no inputs any more; sets of operators
    (``opset_import``) that no node is of are left out, for TensorRT refuses unknown ones; the IR
    version is one that old readers know; shapes are inferred.  ``tidy(tidy(model))`` is
    ``tidy(model)``.

    Parameters
    ----------
    model:
        With its weights loaded (``onnx.load`` reads those of other files as well).  Plugins of
        TensorRT, nodes in ONNX's own domain that ONNX does not know, are left unchecked.

    Returns
    -------
    A new model; the given one is not changed.

    Raises
    ------
    OnnxGraphError
        If weights are not loaded, or the graph is not valid: the message is the checker's.
    BackendUnavailableError
        If onnx or onnx-graphsurgeon is not installed.

    """
    onnx = import_onnx()
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise OnnxGraphError(
                f"weight '{tensor.name}' lies in another file and was not read; "
                "load the model by onnx.load(path), beside its other files"
            )
    current = onnx.ModelProto()
    current.CopyFrom(model)
    _give_names(current)
    current, outline = _infer_shapes(current)
    for _ in range(_MOST_ROUNDS):
        before = outline
        current, outline = _infer_shapes(_clean(current))
        if outline == before:
            break
    _check(current)
    return current


def _give_names(model: onnx.ModelProto) -> None:
    """Name nodes that have no name, or one that another has: reports and options name nodes."""
    taken: set[str] = set()
    for node in all_nodes(model.graph.node):
        base = node.name or f"{node.op_type}_{next(filter(None, node.output), '')}"
        name, number = base, 1
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        node.name = name


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold, remove and sort."""
    gs = import_graphsurgeon()
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _FIRST_WITH_FREE_WEIGHTS)
    try:
        graph = gs.import_onnx(model)
        _fold(graph)
        # Not toposort alone: it takes nodes level by level, whether anything reads them or not.
        graph.cleanup(remove_unused_graph_inputs=False).toposort()
        cleaned = gs.export_onnx(graph, do_type_check=False)
    except Exception as error:
        raise OnnxGraphError(
            f"the graph '{model.graph.name}' cannot be cleaned ({reason(error)}); export it again"
        ) from error
    cleaned.metadata_props.extend(model.metadata_props)
    for field in ("domain", "model_version", "doc_string"):
        setattr(cleaned, field, getattr(model, field))
    _keep_used_opsets(cleaned, model)
    cleaned.ir_version = _ir_version(cleaned, model.ir_version)
    return cleaned


def _fold(graph: Any) -> None:
    """Compute constants; ONNX Runtime does it, so without it nothing is computed."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return
    graph.fold_constants(
        size_threshold=_FOLDING_LIMIT_BYTES, should_exclude_node=lambda n: n.op in _KEPT_IN_PLACE
    )


def _keep_used_opsets(cleaned: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Keep the sets of operators that a node or function is of; ``ai.onnx`` always."""
    nodes = list(all_nodes(cleaned.graph.node))
    for function in cleaned.functions:
        nodes.extend(all_nodes(function.node))
    used = {_plain(node.domain) for node in nodes} | {""}
    versions = {_plain(entry.domain): entry.version for entry in model.opset_import}
    del cleaned.opset_import[:]
    for domain in sorted(used & set(versions)):
        cleaned.opset_import.add(domain=domain, version=versions[domain])


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _ir_version(model: onnx.ModelProto, current: int) -> int:
    """Return the oldest IR version that has the model's operators; 8, or older if it was."""
    onnx = import_onnx()
    own = [entry for entry in model.opset_import if not entry.domain]
    needed = onnx.helper.find_min_ir_version_for(own, ignore_unknown=True)
    return int(needed) if needed > OLD_IR_VERSION else min(current, OLD_IR_VERSION)


def _infer_shapes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bytes]:
    """Infer shapes anew; also return the model but for its weights, serialised.

    What a file says about tensors inside the graph was true for the shapes that its inputs had: it
    only counts where nothing can be inferred, behind plugins.
    """
    onnx = import_onnx()
    told = list(model.graph.value_info)
    del model.graph.value_info[:]
    heavy = {
        tensor.name: tensor.raw_data
        for tensor in model.graph.initializer
        if len(tensor.raw_data) > _LIGHT_BYTES
    }
    with plugins_set_apart(model):
        # Inference serialises what it is given, and has no use for weights.
        for tensor in model.graph.initializer:
            if tensor.name in heavy:
                tensor.raw_data = b""
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
            known = {info.name for info in [*inferred.graph.value_info, *inferred.graph.output]}
            unknown = [info for info in told if info.name not in known]
            if unknown:
                inferred.graph.value_info.extend(unknown)
                inferred = onnx.shape_inference.infer_shapes(inferred, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise OnnxGraphError(
                f"the shapes of graph '{model.graph.name}' contradict each other "
                f"({reason(error)}); correct the input shapes or export it again"
            ) from error
    _restore_domains(inferred, model)
    outline = inferred.SerializeToString(deterministic=True)
    for tensor in inferred.graph.initializer:
        if tensor.name in heavy:
            tensor.raw_data = heavy[tensor.name]
    return inferred, outline


def _restore_domains(inferred: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Give a copy that was made while plugins were set apart their own domain back."""
    del inferred.opset_import[:]
    inferred.opset_import.extend(model.opset_import)
    for copy, node in zip(all_nodes(inferred.graph.node), all_nodes(model.graph.node)):
        copy.domain = node.domain


def _check(model: onnx.ModelProto) -> None:
    onnx = import_onnx()
    if model.ByteSize() > _PROTOBUF_LIMIT_BYTES:
        return
    with plugins_set_apart(model):
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise OnnxGraphError(
                f"graph '{model.graph.name}' is not valid ONNX ({reason(error)}); export it again"
            ) from error
