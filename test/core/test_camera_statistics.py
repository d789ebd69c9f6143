from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.camera_statistics import CameraStatistics, DropReason


class Clock:
    """Time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statistics(clock: Clock) -> CameraStatistics:
    return CameraStatistics(clock)


def test_rates_are_intervals_over_the_time_that_they_took(statistics, clock):
    for _ in range(11):
        statistics.receive()
        clock.now += 0.125
    for _ in range(3):
        statistics.answer(None)
        clock.now += 0.25
    report = statistics.report()
    assert report.received == 11
    assert report.answered == 3
    assert report.input_hz == 8.0
    assert report.output_hz == 4.0


def test_a_rate_is_that_of_the_last_five_seconds(statistics, clock):
    for _ in range(20):
        statistics.receive()
        clock.now += 0.5
    for _ in range(50):
        statistics.receive()
        clock.now += 0.125
    assert statistics.report().input_hz == 8.0
    clock.now += 10.0
    assert statistics.report().input_hz == 0.0
    assert statistics.report().received == 70


def test_a_camera_that_is_faster_than_times_are_kept_has_its_rate_all_the_same(statistics, clock):
    for _ in range(1000):
        statistics.receive()
        clock.now += 1 / 1024
    assert statistics.report().input_hz == 1024.0


@pytest.mark.parametrize("frames", [0, 1])
def test_less_than_two_frames_have_no_rate(statistics, frames):
    for _ in range(frames):
        statistics.receive()
    assert statistics.report().input_hz == 0.0


def test_frames_of_one_moment_have_no_rate(statistics):
    statistics.receive()
    statistics.receive()
    assert statistics.report().input_hz == 0.0


def test_percentiles_are_those_of_the_latencies(statistics):
    for milliseconds in range(101):
        statistics.answer(milliseconds / 1e3)
    report = statistics.report()
    assert report.latency_p50_s == pytest.approx(0.050)
    assert report.latency_p99_s == pytest.approx(0.099)


def test_only_the_newest_thousand_latencies_count(statistics):
    for _ in range(1024):
        statistics.answer(9.0)
    for _ in range(1024):
        statistics.answer(0.25)
    report = statistics.report()
    assert (report.latency_p50_s, report.latency_p99_s) == (0.25, 0.25)
    assert report.answered == 2048


@given(st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=50))
def test_latencies_below_zero_are_left_out_and_never_told(latencies):
    statistics = CameraStatistics()
    for latency in latencies:
        statistics.answer(latency)
    report = statistics.report()
    assert report.answered == len(latencies)
    if all(latency < 0.0 for latency in latencies):
        assert report.latency_p50_s is None
    else:
        assert 0.0 <= report.latency_p50_s <= report.latency_p99_s <= max(latencies)


def test_drops_are_counted_by_reason(statistics):
    assert statistics.drop(DropReason.REPLACED, 3) == 3
    assert statistics.drop(DropReason.BAD_IMAGE) == 1
    assert statistics.drop(DropReason.BAD_IMAGE) == 2
    statistics.drop(DropReason.FAILED_INFERENCE)
    report = statistics.report()
    assert report.dropped == {
        DropReason.REPLACED: 3,
        DropReason.TOO_OLD: 0,
        DropReason.BAD_IMAGE: 2,
        DropReason.FAILED_INFERENCE: 1,
        DropReason.DISABLED: 0,
    }
    assert report.failed == 3


def test_a_reset_counts_anew_and_remembers_the_silence(statistics, clock):
    statistics.receive()
    statistics.answer(0.5)
    statistics.drop(DropReason.TOO_OLD)
    clock.now += 2.0
    statistics.reset()
    clock.now += 1.0
    report = statistics.report()
    assert (report.received, report.answered, sum(report.dropped.values())) == (0, 0, 0)
    assert (report.input_hz, report.output_hz, report.latency_p50_s) == (0.0, 0.0, None)
    assert report.since_s == 1.0
    assert report.silent_s == 3.0
    assert statistics.has_received


def test_latencies_can_be_forgotten_alone(statistics):
    statistics.receive()
    statistics.answer(0.5)
    statistics.forget_latencies()
    report = statistics.report()
    assert report.latency_p99_s is None
    assert (report.received, report.answered) == (1, 1)


def test_silence_begins_with_the_last_frame_or_when_frames_are_expected(statistics, clock):
    clock.now += 3.0
    assert statistics.silent_s == 3.0
    assert not statistics.has_received
    statistics.expect_frames()
    clock.now += 1.0
    assert statistics.silent_s == 1.0
    statistics.receive()
    clock.now += 0.25
    assert statistics.report().silent_s == 0.25


def test_a_report_does_not_change_any_more(statistics):
    report = statistics.report()
    statistics.drop(DropReason.DISABLED)
    statistics.receive()
    assert report.dropped[DropReason.DISABLED] == 0
    assert report.received == 0
