"""Networks whose answers are made by hand, for the demo model and plain pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends import BackendDescription, BackendOptions, TensorInfo
from jetson_detect.core.engines.proof import Reference, RunOptions, run_reference
from jetson_detect.core.model import Format, ModelFile, ModelSpec, Precision, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.sample_frames import SampleFrame
from jetson_detect.share import find_model

Outputs = dict[str, np.ndarray]
FLOAT32 = np.dtype(np.float32)
CELLS = 40


class StubNetwork:
    """Answers the plain picture of brightness ``i`` with the i-th outputs."""

    def __init__(self, file: ModelFile, answers: Sequence[Outputs]) -> None:
        self._answers = answers
        self.calls = 0
        self.closed = False
        self.input_arrays: dict[str, np.ndarray] = {}
        self.description = BackendDescription(
            backend="stub",
            runtime="none",
            device="nowhere",
            file=file,
            inputs=(TensorInfo("image", (1, 160, 160, 3), FLOAT32),),
            outputs=tuple(
                TensorInfo(name, (None,) * output.ndim, output.dtype)
                for name, output in answers[0].items()
            ),
        )

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls += 1
        return self._answers[round(float(inputs["image"][0, 80, 80, 0]) * 255)]

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> StubNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Bench:
    """What a proof of stub networks needs."""

    model: ModelSpec
    source: ModelFile
    engine: ModelFile
    frames: list[SampleFrame]
    options: RunOptions

    def answers(self) -> list[Outputs]:
        """One ball in each frame, of score 0.9, 40 x 24 pixels; it moves to the right."""
        return [one_ball(10.5 + index, 20.25, 10, 6) for index in range(len(self.frames))]

    def opener(self, answers: Sequence[Outputs]) -> Callable[..., StubNetwork]:
        return lambda file, options: StubNetwork(file, answers)

    def reference(self, answers: Sequence[Outputs] | None = None) -> Reference:
        return run_reference(
            self.model,
            self.source,
            self.frames,
            self.options,
            self.opener(self.answers() if answers is None else answers),
        )

    def as_precision(self, precision: Precision) -> ModelFile:
        return replace(self.engine, precision=precision)


def one_ball(x: float, y: float, width: float, height: float, score: float = 0.9) -> Outputs:
    """One ball, whose centre and size are given in cells of 4 pixels."""
    heatmap = np.zeros((1, CELLS, CELLS, 6), np.float32)
    offset = np.zeros((1, CELLS, CELLS, 2), np.float32)
    size = np.zeros((1, CELLS, CELLS, 2), np.float32)
    row, column = int(y), int(x)
    heatmap[0, row, column, 0] = score
    offset[0, row, column] = x - column, y - row
    size[0, row, column] = np.log([width, height])
    return {"heatmap": heatmap, "offset": offset, "size": size}


@pytest.fixture
def bench() -> Bench:
    model = load_model(find_model("demo"))
    return Bench(
        model=model,
        source=ModelFile(Format.SAVED_MODEL, Path("source")),
        engine=ModelFile(Format.TENSORRT, Path("demo.plan"), Precision.FP16),
        frames=[
            SampleFrame(Pixels.from_array(np.full((160, 160, 3), index, np.uint8)))
            for index in range(6)
        ],
        options=RunOptions(BackendOptions(), warm_up=1, runs=5, tensor_frames=6),
    )
