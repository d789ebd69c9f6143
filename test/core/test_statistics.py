from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.statistics import DetectionStatistics


def detections(*class_ids: int) -> Detections:
    return Detections.from_best(
        np.zeros((len(class_ids), 4), np.float32),
        np.ones(len(class_ids), np.float32),
        np.array(class_ids, np.int32),
    )


def at_times(*received: float) -> DetectionStatistics:
    statistics = DetectionStatistics()
    for one in received:
        statistics.add(Detections.empty(), None, one)
    return statistics


def test_objects_are_counted_by_class_the_most_frequent_first():
    statistics = DetectionStatistics()
    statistics.add(detections(1, 0, 1), 0.1, 1.0)
    statistics.add(detections(), 0.1, 2.0)
    statistics.add(detections(9, -1, 1), 0.1, 3.0)
    assert (statistics.frames, statistics.empty, statistics.detections) == (3, 1, 6)
    counts = statistics.by_class(["ball", "box"])
    assert counts == {"box": 3, "9": 1, "ball": 1, "unknown": 1}
    assert list(counts) == ["box", "9", "ball", "unknown"]


def test_the_rate_is_over_the_whole_run():
    assert at_times(10.0, 10.5, 11.0, 20.0).fps() == pytest.approx(0.3)


def test_the_recent_rate_is_over_the_window_only():
    statistics = at_times(*range(10), *np.arange(10, 12.05, 0.1))
    assert statistics.recent_fps(window_s=2.0) == pytest.approx(10.0, rel=0.06)
    assert statistics.fps() == pytest.approx(30 / 12, rel=0.06)


def test_the_recent_rate_of_a_stream_that_stopped_falls_to_zero():
    statistics = at_times(0.0, 1.0, 2.0)
    assert statistics.recent_fps(window_s=2.0, now=3.0) == pytest.approx(0.5)
    assert statistics.recent_fps(window_s=2.0, now=9.0) == 0.0


@pytest.mark.parametrize("received", [(), (1.0,), (1.0, 1.0)])
def test_there_is_no_rate_of_a_moment(received):
    assert at_times(*received).fps() is None
    assert at_times(*received).recent_fps() is None


def test_latencies_are_percentiles_of_those_that_are_known():
    statistics = DetectionStatistics()
    assert statistics.latency(50) is None
    for number in range(101):
        statistics.add(Detections.empty(), number / 1000, float(number))
        statistics.add(Detections.empty(), None, float(number))
    assert statistics.latency(50) == pytest.approx(0.050)
    assert statistics.latency(99) == pytest.approx(0.099)
    assert statistics.latency(100) == pytest.approx(0.100)
