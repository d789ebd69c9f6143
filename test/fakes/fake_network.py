"""The ONNX model inside a fake plan: its tensors, their shapes, and what they come to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime


@dataclass(frozen=True)
class NetworkTensor:
    """An input or output; -1 for a size that is open, ``kind`` as ONNX calls it."""

    shape: tuple[int, ...]
    kind: str


class Network:
    def __init__(self, model: bytes) -> None:
        self._model = onnx.load_model_from_string(model)
        if not self._model.graph.output:
            raise ValueError("no model")
        self.inputs = {value.name: _tensor(value) for value in self._model.graph.input}
        self.outputs = {value.name: _tensor(value) for value in self._model.graph.output}
        self.num_nodes = len(self._model.graph.node)
        self._shapes: dict[Any, dict[str, tuple[int, ...]]] = {}

    @cached_property
    def _session(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            self._model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self._session.run(list(self.outputs), inputs)))

    def output_shape(self, name: str, inputs: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Return an output's shape for the inputs'; -1 where only the data can tell."""
        key = tuple(inputs.items())
        if key not in self._shapes:
            self._shapes[key] = self._infer(inputs)
        return self._shapes[key][name]

    def _infer(self, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for value in model.graph.input:
            for dimension, size in zip(value.type.tensor_type.shape.dim, inputs[value.name]):
                dimension.Clear()
                if size >= 0:
                    dimension.dim_value = size
        for value in model.graph.output:
            for dimension in value.type.tensor_type.shape.dim:
                if dimension.dim_param or not dimension.dim_value:
                    dimension.Clear()
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        return {value.name: _tensor(value).shape for value in inferred.graph.output}


def unknown_operators(model: bytes, plugins: Collection[str] = ()) -> list[tuple[int, str, str]]:
    """Return index, name and operator of nodes that neither ONNX knows nor a plugin runs."""
    graph = onnx.load_model_from_string(model).graph
    return [
        (index, node.name, node.op_type)
        for index, node in enumerate(graph.node)
        if not onnx.defs.has(node.op_type, node.domain) and node.op_type not in plugins
    ]


def _tensor(value: Any) -> NetworkTensor:
    kind = value.type.tensor_type
    shape = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else -1
        for dimension in kind.shape.dim
    )
    return NetworkTensor(shape, onnx.TensorProto.DataType.Name(kind.elem_type))
