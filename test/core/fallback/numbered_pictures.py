"""Numbered pictures, and scripted backends in whose boxes the numbers are found again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jetson_detect.core.backends import BackendDescription, BackendError, TensorInfo
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.closing import Closing
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
SELECTION = Selection(score_threshold=0.3)
NUMBERS = 256
WIDTHS = {"first": 1, "second": 2, "third": 3}
"""Of the box that each backend finds, in cells of four pixels."""

_SHAPES = {"heatmap": (40, 40, 6), "offset": (40, 40, 2), "size": (40, 40, 2)}
_NUMBERS_A_ROW = 32
_MARGIN = 2
"""Cells that are left free, so that no box is clipped."""


def picture(number: int) -> Pixels:
    """Make a picture whose grey value is its number."""
    return Pixels.from_array(np.full((160, 160, 3), number, np.uint8))


def read(found: Detections) -> tuple[int, str]:
    """Return the number of the picture that was answered, and who did it."""
    ((left, top, right, bottom),) = found.boxes / 4
    row, column = round((top + bottom) / 2) - _MARGIN, round((left + right) / 2) - _MARGIN
    width = round(right - left)
    return (
        row * _NUMBERS_A_ROW + column,
        next(name for name, each in WIDTHS.items() if each == width),
    )


def _listed(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def choice(name: str) -> BackendChoice:
    return BackendChoice(name, ModelFile(Format.ONNX, Path(f"{name}.onnx")))


def no_obstacle(number: int) -> None:
    """Let a picture pass."""


class Script:
    """What one backend is to do, and what it did."""

    def __init__(self, name: str = "first", depth: int = 2, batch: int = 1) -> None:
        self.name = name
        self.batch = batch
        self.depth: int | BackendError = depth
        self.at_load: Callable[[], None] = lambda: None
        self.at_start: Callable[[int], None] = no_obstacle
        self.at_finish: Callable[[int], None] = no_obstacle
        """Called with the number of the picture; may raise, and take its time."""
        self.events: list[str] = []
        """As ``start 1`` and ``finish 1``, of all backends that followed this script; of a batch
        as ``start 1 2``."""
        self.opened = self.closed = 0

    def make(self) -> Detector:
        self.opened += 1
        self.at_load()
        return Detector(MODEL, NumberingBackend(self))


class NumberingBackend(Closing):
    """Finds one box in each picture: its place tells the picture, its width the backend."""

    input_arrays: Mapping[str, np.ndarray] = {}

    def __init__(self, script: Script) -> None:
        self._script = script
        self._in_flight: deque[list[int]] = deque()
        batch = None if script.batch > 1 else 1
        self.description = BackendDescription(
            script.name,
            "script 1.0",
            "CPU",
            choice(script.name).file,
            (TensorInfo("image", (batch, 160, 160, 3), np.dtype(np.float32)),),
            tuple(
                TensorInfo(name, (batch, *shape), np.dtype(np.float32))
                for name, shape in _SHAPES.items()
            ),
            max_batch=script.batch,
        )

    @property
    def depth(self) -> int:
        if isinstance(self._script.depth, BackendError):
            raise self._script.depth
        return self._script.depth

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.start(inputs)
        return self.finish()

    def start(self, inputs: Mapping[str, Any]) -> None:
        numbers = [round(float(grey) * 255) for grey in inputs["image"][:, 80, 80, 0]]
        self._script.events.append(f"start {_listed(numbers)}")
        for number in numbers:
            self._script.at_start(number)
        self._in_flight.append(numbers)

    def finish(self) -> Mapping[str, Any]:
        numbers = self._in_flight.popleft()
        self._script.events.append(f"finish {_listed(numbers)}")
        outputs = {
            name: np.zeros((len(numbers), *shape), np.float32) for name, shape in _SHAPES.items()
        }
        for index, number in enumerate(numbers):
            self._script.at_finish(number)
            row, column = divmod(number, _NUMBERS_A_ROW)
            cell = index, row + _MARGIN, column + _MARGIN
            outputs["heatmap"][cell][0] = 0.9
            outputs["size"][cell] = np.log([WIDTHS[self._script.name], 1])
        return outputs

    def close(self) -> None:
        self._script.closed += 1
