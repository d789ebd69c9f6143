"""TensorRT alone, on the simulated GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.benchmark.engine_loop import EngineLoop
from jetson_detect.core.backends import BackendError, BackendOptions
from jetson_detect.core.model import Format, ModelFile

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)


def cosine(rows: int | str) -> bytes:
    """A network that makes ones of zeros."""
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [rows, 3]) for name in "xy"
    )
    graph = onnx.helper.make_graph([onnx.helper.make_node("Cos", ["x"], ["y"])], "cosine", [x], [y])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    return model.SerializeToString()


@pytest.mark.parametrize("version", ["8.5.3.1", "10.3.0"])
def test_only_the_loop_with_copies_brings_outputs_back(gpu: Any, version: str) -> None:
    gpu.use(version)
    with EngineLoop(ModelFile(Format.TENSORRT, gpu.plan(cosine(2))), BackendOptions()) as loop:
        before = gpu.machine.executions
        loop.infer()
        assert gpu.machine.executions == before + 1
        assert loop.outputs["y"].tolist() == [[0.0] * 3] * 2
        loop.copy_and_infer()
        assert gpu.machine.executions == before + 2
        assert loop.outputs["y"].tolist() == [[1.0] * 3] * 2
    assert gpu.machine.leaks() == []


def test_a_loop_that_cannot_be_recorded_infers_all_the_same(gpu: Any) -> None:
    gpu.machine.records_graphs = False
    with EngineLoop(ModelFile(Format.TENSORRT, gpu.plan(cosine(2))), BackendOptions()) as loop:
        loop.copy_and_infer()
        assert loop.outputs["y"].tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("recorded", [False, True])
def test_copies_of_one_overlap_the_other_and_inferences_follow_each_other(
    gpu: Any, recorded: bool
) -> None:
    gpu.machine.records_graphs = recorded
    with EngineLoop(ModelFile(Format.TENSORRT, gpu.plan(cosine(2))), BackendOptions()) as loop:
        before = gpu.machine.executions
        for _ in range(2):
            loop.start()
            loop.start()
            for stream in reversed(gpu.machine.streams.values()):
                stream.flush()
            for _ in range(loop.DEPTH):
                loop.finish()
                assert loop.outputs["y"].tolist() == [[1.0] * 3] * 2
        assert gpu.machine.executions == before + 4
    assert gpu.machine.leaks() == []


def test_a_plan_with_open_shapes_is_refused(gpu: Any) -> None:
    plan = gpu.plan(cosine("n"), profiles=[{"x": [[1, 3], [1, 3], [4, 3]]}])
    with pytest.raises(BackendError, match="the shape of x, y is open"):
        EngineLoop(ModelFile(Format.TENSORRT, plan), BackendOptions())
    assert gpu.machine.leaks() == []
