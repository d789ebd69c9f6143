"""A model's levels, on the simulated GPU: what they cost is not what is tested."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.benchmark.model_level import Level, ModelTask, measure_model
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.share import find_model

pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

CASE = "demo tensorrt fp32 640x480"


@pytest.fixture
def task(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> ModelTask:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    model = load_model(find_model("demo"))
    (source,) = model.files_for([Format.ONNX])
    file = ModelFile(Format.TENSORRT, gpu.plan(source.path), tensors=source.tensors)
    return ModelTask(
        model,
        BackendChoice("tensorrt", file),
        sizes=("480p",),
        levels=(Level.ENGINE, Level.PIPELINE),
        repeats=Repeats(rounds=2, frames=3, warm_up=1),
    )


def test_on_a_gpu_tensorrt_alone_is_what_the_levels_are_compared_with(task: ModelTask) -> None:
    rows = measure_model(task, lambda phase, fraction: None)
    assert [(row.case, row.way, row.sent, row.lost) for row in rows.streams] == [
        (CASE, "engine", 6, 0),
        (CASE, "TensorRT, no copies", 6, 0),
        (CASE, "TensorRT and copies", 6, 0),
        (CASE, "pipeline", 6, 0),
        (CASE, "pipeline", 6, 0),
    ]
    assert [row.drive for row in rows.streams[-2:]] == ["back to back", "2 in flight"]
    assert [ratio.name.removeprefix(f"model {CASE} time: ") for ratio in rows.ratios] == [
        "engine / pipeline",
        "TensorRT and copies / engine",
        "TensorRT and copies / pipeline",
    ]
    engine, pipeline = rows.streams[0], rows.streams[-2]
    assert pipeline.stages_ms["infer"] < pipeline.cpu_ms
    assert engine.stages_ms == {}
    for row in rows.streams:
        assert len(row.latencies_ms) == row.sent


def test_the_pipeline_can_be_measured_alone(task: ModelTask) -> None:
    alone = replace(task, levels=(Level.PIPELINE,))
    rows = measure_model(alone, lambda phase, fraction: None)
    assert [row.way for row in rows.streams] == ["pipeline", "pipeline"]
    assert rows.ratios == ()
