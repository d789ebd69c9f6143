"""A model's levels, on the simulated GPU: what they cost is not what is tested."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.benchmark import model_level, turns
from jetson_detect.benchmark.model_level import Level, ModelTask, measure_model
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.model import Format, Interpolation, ModelFile, load_model
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
    # What the GPU can make of pictures by itself, so that memory that it reads is worth keeping.
    linear = replace(task.model.input, interpolation=Interpolation.LINEAR)
    task = replace(task, model=replace(task.model, input=linear))
    rows = measure_model(task, lambda phase, fraction: None)
    assert [(row.case, row.way, row.sent, row.lost) for row in rows.streams] == [
        (CASE, "engine", 6, 0),
        (CASE, "TensorRT, no copies", 6, 0),
        (CASE, "TensorRT and copies", 6, 0),
        (CASE, "TensorRT and copies", 6, 0),
        (CASE, "pipeline", 6, 0),
        (CASE, "pipeline", 6, 0),
        (CASE, "pipeline, by stage", 6, 0),
        (CASE, "pipeline, kept memory", 6, 0),
        (CASE, "pipeline, kept memory", 6, 0),
    ]
    drives = [row.drive for row in rows.streams]
    assert drives[2:6] == drives[4:6] + drives[7:] == ["back to back", "2 in flight"] * 2
    assert [ratio.name.removeprefix(f"model {CASE} time: ") for ratio in rows.ratios] == [
        "engine / pipeline",
        "TensorRT and copies / engine",
        "TensorRT and copies / pipeline",
        "TensorRT and copies / pipeline, kept memory",
    ]
    engine, pipeline = rows.streams[0], rows.streams[6]
    assert pipeline.stages_ms["infer"] < pipeline.cpu_ms
    assert engine.stages_ms == {}
    for row in rows.streams:
        assert len(row.latencies_ms) == row.sent


def test_no_round_pays_for_what_is_made_once(
    task: ModelTask, gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocations: list[int] = []

    def take_turns(*arguments: Any) -> Any:
        before = len(gpu.machine.calls)
        results = turns.take_turns(*arguments)
        allocations.append(sum("Alloc" in call for call in gpu.machine.calls[before:]))
        return results

    monkeypatch.setattr(model_level, "take_turns", take_turns)
    measure_model(task, lambda phase, fraction: None)
    assert allocations == [0]


def test_memory_is_that_of_the_detector_alone(
    task: ModelTask, gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[int] = []

    def count(before: float | None) -> float:
        engines.append(gpu.machine.objects.count("ICudaEngine"))
        return 1.5

    monkeypatch.setattr(model_level, "process_gpu_mb", count)
    rows = measure_model(task, lambda phase, fraction: None)
    assert engines == [1]
    assert {row.gpu_mb for row in rows.streams} == {1.5}


def test_the_pipeline_can_be_measured_alone(task: ModelTask) -> None:
    alone = replace(task, levels=(Level.PIPELINE,))
    rows = measure_model(alone, lambda phase, fraction: None)
    assert [row.way for row in rows.streams] == ["pipeline", "pipeline", "pipeline, by stage"]
    assert rows.ratios == ()


def test_engine_and_pipeline_are_measured_where_there_is_no_ros() -> None:
    program = """
import sys
sys.modules.update(dict.fromkeys(("rclpy", "sensor_msgs", "std_msgs", "vision_msgs")))
from jetson_detect.benchmark import model_level, turns
from jetson_detect.benchmark.model_level import Level, ModelTask, measure_model
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.commands.benchmark import sections
from jetson_detect.core.backends.choice import find_choices
from jetson_detect.core.model import load_model
from jetson_detect.share import find_model
model = load_model(find_model("demo"))
(choice, *_), _ = find_choices(model, ["tflite"])
levels = (Level.ENGINE, Level.PIPELINE)
task = ModelTask(model, choice, ("480p",), levels, repeats=Repeats(1, 1, 1))
rows = measure_model(task, lambda phase, fraction: None)
print(*(row.way for row in rows.streams))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "engine pipeline pipeline, by stage\n", done.stderr
