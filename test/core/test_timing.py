from __future__ import annotations

import time
from functools import cached_property

import numpy as np

from jetson_detect.core.backends.tflite import TfliteBackend
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection
from jetson_detect.core.timing import Latency, time_detector, time_runs
from jetson_detect.share import find_model


def test_times_leave_out_the_warm_up():
    calls: list[None] = []
    times = time_runs(lambda: calls.append(None), warm_up=3, runs=7)
    assert len(calls) == 10
    assert times.shape == (7,)
    assert (times > 0).all()


def test_times_are_milliseconds():
    (elapsed,) = time_runs(lambda: time.sleep(0.02), warm_up=0, runs=1)
    assert 20 <= elapsed < 2000


def test_a_latency_sums_up_times_and_gives_the_throughput_of_one_after_the_other():
    latency = Latency.of(np.array([1.0] * 19 + [21.0]))
    assert (latency.p50_ms, latency.mean_ms, latency.runs) == (1.0, 2.0, 20)
    # The 95th percentile lies between the last two times, 0.05 of the way.
    assert round(latency.p95_ms, 6) == 2.0
    assert latency.per_second == 500.0


class BackendWithMemory(TfliteBackend):
    """Has memory for its input, as a GPU's backend has, and wants it used: it saves a copy."""

    @cached_property
    def input_arrays(self):
        return {info.name: np.empty(info.shape, info.dtype) for info in self.description.inputs}

    def run(self, inputs):
        ((name, tensor),) = inputs.items()
        assert np.shares_memory(tensor, self.input_arrays[name])
        self.given.append(tensor.copy())
        return super().run(inputs)


def test_a_detector_is_timed_with_the_tensor_that_it_makes_of_the_picture():
    model = load_model(find_model("demo"))
    (file,) = (each for each in model.files if each.path.name == "demo_fp32.tflite")
    backend = BackendWithMemory(file)
    backend.given = []
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    selection = Selection.from_thresholds(model.thresholds)
    with Detector(model, backend) as detector:
        latency = time_detector(
            detector, backend, Pixels.from_array(pixels), selection, warm_up=2, runs=5
        )
    assert (latency.inference.runs, latency.detection.runs) == (5, 5)
    assert len(backend.given) == 2 * (2 + 5)
    for each in backend.given[1:]:  # of the inference alone, and of the whole detection
        np.testing.assert_array_equal(each, backend.given[0])
