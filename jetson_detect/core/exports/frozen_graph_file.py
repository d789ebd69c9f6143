"""Frozen graphs, from models that TensorFlow saved and from checkpoints of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jetson_detect.core.exports.errors import ExportError, refusing
from jetson_detect.core.exports.frozen_network import (
    FrozenNetwork,
    finish,
    freeze,
    import_tensorflow,
)
from jetson_detect.core.exports.input_shapes import Shape
from jetson_detect.core.exports.report import ExportReport
from jetson_detect.core.exports.session_freezing import freeze_session
from jetson_detect.core.model import Format, ModelFile

_PARTS = (".meta", ".index", ".data-00000-of-00001")


def write_frozen_graph(
    source: ModelFile,
    output: Path,
    *,
    batch: int | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> ExportReport:
    """Write a network as a ``GraphDef`` of constants, ready for inference.

    Parameters
    ----------
    source:
        A SavedModel, of TensorFlow 1 or 2, a Keras file, or a frozen graph to be cleaned.
    output:
        The file.
    batch, shapes:
        What is fixed of its inputs' shapes; nothing, if left out.

    Raises
    ------
    ExportError
        If the source cannot be read or frozen.

    """
    return _write(freeze(source, batch, shapes), output)


def write_frozen_checkpoint(
    checkpoint: Path, outputs: Sequence[str], output: Path, inputs: Sequence[str] = ()
) -> ExportReport:
    """Write a TensorFlow 1 checkpoint as a ``GraphDef`` of constants.

    Parameters
    ----------
    checkpoint:
        What the files ``.meta``, ``.index`` and ``.data-…`` have in common, or one of them.
    outputs:
        Names of the nodes, or tensors, that the network is to end in; training's are left out.
    output:
        The file.
    inputs:
        Names of the nodes that are fed; by default all placeholders that the outputs need.  A
        node that is no placeholder becomes one, and what comes before it is left out.

    Raises
    ------
    ExportError
        If a file is missing, the graph lacks an output or input, or has nothing to feed.

    """
    tf = import_tensorflow()
    prefix = checkpoint.with_suffix("") if checkpoint.suffix in _PARTS else checkpoint
    for suffix in (".meta", ".index"):
        if not (whole := prefix.with_name(prefix.name + suffix)).is_file():
            raise ExportError(
                f"{whole}: no such file; a checkpoint is a .meta, an .index and a .data file, of "
                "which TensorFlow 2 does not write the first: freeze its SavedModel instead"
            )
    if not outputs:
        raise ExportError(f"{prefix}: outputs: none is named; name the nodes that detect")

    def load(session: Any) -> None:
        meta_graph = f"{prefix}.meta"
        tf.compat.v1.train.import_meta_graph(meta_graph, clear_devices=True).restore(
            session, str(prefix)
        )

    source = ModelFile(Format.FROZEN_GRAPH, prefix)
    with refusing(
        source,
        f"TensorFlow {tf.__version__} cannot restore and freeze it",
        "copy all files of the checkpoint again, and name nodes before any of training",
    ):
        part = freeze_session(
            tf,
            prefix,
            load,
            {name.removesuffix(":0"): name for name in outputs},
            {name.removesuffix(":0"): name for name in inputs},
        )
        network = finish(tf, source, part.graph, part.inputs, part.outputs, part.changes)
    return _write(network, output)


def _write(network: FrozenNetwork, output: Path) -> ExportReport:
    content = network.graph.SerializeToString(deterministic=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(content)
    renamed = {name: node for name, node in network.nodes.items() if name != node}
    details: dict[str, Any] = {"nodes": len(network.graph.node), "size": len(content)}
    if renamed:
        details["tensors"] = renamed
    changes = [f"'{name}' is called '{node}'" for name, node in renamed.items()]
    return ExportReport(output, (*network.changes, *changes), details)
