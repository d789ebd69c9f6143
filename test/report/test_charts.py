from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.report.charts import (
    TimeBins,
    latency_chart,
    latency_distribution,
    rate_chart,
    sparkline,
)


def bins_of(*seconds: float) -> TimeBins:
    bins = TimeBins.of(np.array(seconds))
    assert bins is not None
    return bins


def test_without_a_duration_there_is_no_time_axis():
    assert TimeBins.of(np.array([])) is None
    assert TimeBins.of(np.array([0.0])) is None
    assert TimeBins.of(np.array([0.0, 0.0])) is None


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=2000).map(np.cumsum))
def test_every_frame_lies_in_the_part_of_its_time(later):
    seconds = np.concatenate([[0.0], later])
    bins = TimeBins.of(seconds)
    assert 1 <= len(bins) <= 120
    assert (bins.edges[bins.index] <= seconds).all()
    assert (seconds <= bins.edges[bins.index + 1]).all()


def test_a_part_without_frames_has_no_mean():
    bins = bins_of(0.0, 0.1, 0.2, 0.3, 9.0, 9.1, 9.2, 10.0)
    np.testing.assert_array_equal(bins.mean(np.arange(8.0)), [1.5, 5.5])
    gap = bins_of(*np.linspace(0, 1, 8), *np.linspace(9, 10, 4)).mean(np.ones(12))
    np.testing.assert_array_equal(gap, [1, np.nan, 1])


def test_a_regular_stream_has_one_rate_throughout():
    seconds = np.arange(41) / 20
    chart = rate_chart(seconds, bins_of(*seconds))
    assert chart.description == "20 at least, 20 at most"
    # From the left edge to the right one, all at one height: the axis ends at 20.
    assert [tick.text for tick in chart.y_ticks] == ["0", "10", "20"]
    levels = {part.split("H")[0] for part in chart.curves[0].path.replace("M0.0 ", "V").split("V")}
    assert levels == {"", "0.0"}
    assert [tick.text for tick in chart.x_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert [tick.at for tick in chart.x_ticks] == [0, 25, 50, 75, 100]


def test_a_gap_is_a_low_rate_not_none():
    seconds = np.concatenate([np.arange(8) / 8, 10 + np.arange(8) / 8])
    # From 0.875 to 10 s there is one frame more.
    chart = rate_chart(seconds, bins_of(*seconds))
    assert chart.description == "0.11 at least, 2.65 at most"


def test_the_median_and_the_longest_latency_are_drawn_over_time():
    seconds = np.arange(8.0)
    latencies = np.array([1.0, 2.0, 3.0, 8.0, np.nan, np.nan, np.nan, np.nan])
    chart = latency_chart(latencies, bins_of(*seconds))
    longest, median = chart.curves
    # The axis ends at 10; nothing is drawn where no latency is known.
    assert [tick.text for tick in chart.y_ticks] == ["0", "5", "10"]
    assert (longest.name, longest.path) == ("longest", "M0.0 20.0H500.0")
    assert (median.name, median.path) == ("median", "M0.0 75.0H500.0")


def test_without_latencies_there_is_no_chart_of_them():
    unknown = np.full(4, np.nan)
    assert latency_chart(unknown, bins_of(0, 1, 2, 3)) is None
    assert latency_distribution(unknown) is None


def test_the_distribution_counts_every_frame_once():
    chart = latency_distribution(np.array([1.0, 1.0, 1.0, 4.0]))
    assert [tick.text for tick in chart.x_ticks] == ["0", "1", "2", "3", "4"]
    # 40 bars up to 4 ms, each 25 wide with 1 left free on each side.
    assert chart.curves[0].path == "M251.0 100V0.0H274.0V100ZM976.0 100V66.7H999.0V100Z"
    assert [tick.text for tick in chart.markers] == ["p50", "p99"]
    assert [tick.at for tick in chart.markers] == pytest.approx([25, 97.75])


def test_a_long_tail_shares_the_last_bar():
    latencies = np.concatenate([np.full(999, 1.0), [500.0]])
    chart = latency_distribution(latencies)
    assert chart.x_ticks[-1].text == "3"
    assert "the last bar holds all up to 500 ms" in chart.description


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([0.0, 2.0], "M0.0 100.0H500.0V0.0H1000.0"),
        ([np.nan, 1.0], "M500.0 50.0H1000.0"),
        ([2.0, np.nan, 2.0, 2.0], "M0.0 0.0H250.0M500.0 0.0H750.0V0.0H1000.0"),
    ],
)
def test_a_curve_is_level_over_each_part_and_leaves_gaps(values, path):
    assert sparkline(np.array(values), 2.0) == path


def test_a_curve_of_nothing_lies_on_the_ground():
    assert sparkline(np.zeros(1), 0.0) == "M0.0 100.0H1000.0"
