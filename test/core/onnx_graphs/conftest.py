"""Small graphs, and ONNX Runtime to compare them by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jetson_detect.share import find_model

_ROOT = Path(__file__).resolve().parents[3]
Feed = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="session")
def onnx() -> Any:
    pytest.importorskip("onnx_graphsurgeon", reason="onnx-graphsurgeon is not installed")
    return pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture(scope="session")
def run_onnx() -> Callable[[Any, Feed], list[NDArray[Any]]]:
    """Run a model in memory on the CPU; its outputs in their order."""
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

    def run(model: Any, feed: Feed) -> list[NDArray[Any]]:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, dict(feed))

    return run


@pytest.fixture(scope="session")
def build(onnx: Any) -> Callable[..., Any]:
    """Make a model of nodes, (operation, inputs, outputs, attributes), inputs and outputs,
    (name, dtype, shape), and constants by name."""

    def build(
        nodes: Sequence[tuple[Any, ...]],
        inputs: Sequence[tuple[str, str, Sequence[Any] | None]],
        outputs: Sequence[tuple[str, str, Sequence[Any] | None]],
        constants: Mapping[str, NDArray[Any]] | None = None,
        opset: int = 17,
        ir: int = 8,
        producer: str = "",
    ) -> Any:
        helper = onnx.helper

        def described(tensors: Sequence[tuple[str, str, Any]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
                )
                for name, dtype, shape in tensors
            ]

        graph = helper.make_graph(
            [
                helper.make_node(
                    operation, made_of, made, name=made[0], **(more[0] if more else {})
                )
                for operation, made_of, made, *more in nodes
            ],
            "graph",
            described(inputs),
            described(outputs),
            [
                onnx.numpy_helper.from_array(values, name)
                for name, values in (constants or {}).items()
            ],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=ir,
            producer_name=producer,
        )

    return build


@pytest.fixture(scope="session")
def demo_model(onnx: Any) -> Any:
    return onnx.load(str(find_model("demo") / "demo.onnx"))


@pytest.fixture(scope="session")
def random_models(onnx: Any) -> dict[str, Any]:
    """The random networks, as small as they come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_ROOT / "scripts"))
        patch.delitem(sys.modules, "random_networks", raising=False)
        import random_networks
    return {
        "yolo": random_networks.yolo(32, 4),
        "ssd": random_networks.ssd(32, 4),
    }
