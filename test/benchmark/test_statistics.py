"""What is made of the numbers."""

from __future__ import annotations

import json
import math

import pytest

from jetson_detect.benchmark.cost_ratios import compare_costs
from jetson_detect.benchmark.distribution import Distribution
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.machine import Machine
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.regression import (
    RatioFileError,
    find_regressions,
    read_ratios,
    write_ratios,
)
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.report import Report, Section
from jetson_detect.benchmark.rows import CostRow, StreamRow
from jetson_detect.benchmark.stream_round import StreamRound
from jetson_detect.benchmark.turns import cpu_costs_us, stream_calls, take_turns


def a_round(cpu_s: float, seconds: float = 2.0, answered: int = 10) -> StreamRound:
    return StreamRound(10, answered, seconds, cpu_s, (1.0, 3.0), {"infer": cpu_s / 2})


def test_percentiles_lie_between_the_values_beside_them() -> None:
    found = Distribution.of([float(each) for each in range(101)])
    assert found == Distribution(50.0, 95.0, 99.0, 50.0, 101)
    assert Distribution.of([1.0, 2.0]).p95 == pytest.approx(1.95)


def test_nothing_measured_is_not_a_number() -> None:
    assert math.isnan(Distribution.of([]).p50)
    assert Distribution.of([]).count == 0


def test_a_round_is_told_by_the_frames_that_were_answered() -> None:
    one = a_round(cpu_s=0.016, answered=8)
    assert one.cpu_ms == pytest.approx(2.0)
    assert one.stages_ms == {"infer": pytest.approx(1.0)}
    assert one.fps == 4.0
    assert one.lost == 2
    assert math.isnan(a_round(0.1, answered=0).cpu_ms)
    assert one.answer_s == 0.25
    assert a_round(0.1, answered=0).answer_s == math.inf


def test_a_row_is_the_median_of_its_rounds_and_all_their_latencies() -> None:
    row = StreamRow("case", "way", "10 Hz", (a_round(0.01), a_round(0.09), a_round(0.02)))
    assert row.cpu_ms == pytest.approx(2.0)
    assert row.stages_ms == {"infer": pytest.approx(1.0)}
    assert row.latency_ms == Distribution(2.0, 3.0, 3.0, 2.0, 6)
    assert (row.sent, row.lost) == (30, 0)


def test_a_ratio_compares_what_was_measured_in_the_same_round() -> None:
    # The machine was three times as slow in the second round; the medians alone would say 12 / 6.
    assert Ratio.of("r", [4.0, 12.0, 40.0], [2.0, 6.0, 8.0]).value == 2.0
    with pytest.raises(ValueError, match="r: 2 rounds over 1; measure both alike"):
        Ratio.of("r", [1.0, 2.0], [1.0])


def test_costs_are_compared_within_their_case() -> None:
    rows = [
        CostRow("1", "objects", "µs", (30.0, 60.0)),
        CostRow("1", "ours", "µs", (10.0, 20.0)),
        CostRow("2", "objects", "µs", (70.0,)),
    ]
    assert compare_costs("message", rows, "ours") == (Ratio("message 1: objects / ours", 3.0),)


def test_contestants_take_turns() -> None:
    seen: list[str] = []

    def measure(name: str) -> int:
        seen.append(name)
        return len(seen)

    results = take_turns({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2)
    assert seen == ["a", "b", "a", "b"]
    assert results == {"a": (1, 3), "b": (2, 4)}


def test_each_act_is_called_as_often_as_is_asked_for() -> None:
    calls = {"a": 0, "b": 0}

    def count(name: str) -> None:
        calls[name] += 1

    acts = {"a": lambda: count("a"), "b": lambda: count("b")}
    costs = cpu_costs_us(acts, Repeats(rounds=3, frames=5, warm_up=2))
    assert calls == {"a": 17, "b": 17}
    assert [len(each) for each in costs.values()] == [3, 3]


def test_the_cost_of_an_act_is_its_cpu_time() -> None:
    numbers = list(range(20000))
    acts = {"one": lambda: sorted(numbers), "four": lambda: [sorted(numbers) for _ in range(4)]}
    costs = cpu_costs_us(acts, Repeats(rounds=5, frames=20, warm_up=5))
    assert 2.0 < Ratio.of("four", costs["four"], costs["one"]).value < 8.0


def test_a_stream_of_calls_has_a_latency_for_each() -> None:
    stream = stream_calls(lambda: None, 7)
    assert (stream.sent, stream.answered, len(stream.latencies_ms)) == (7, 7, 7)
    assert sum(stream.latencies_ms) == pytest.approx(stream.seconds * 1e3)


def test_a_drive_says_how_frames_are_sent() -> None:
    assert str(Drive(rate=30.0)) == "30 Hz"
    assert str(Drive(in_flight=2)) == "2 in flight"


def test_a_ratio_may_lose_a_fifth_and_no_more() -> None:
    measured = [Ratio("node CPU", 4.0), Ratio("message", 2.39)]
    assert find_regressions({"node CPU": 5.0}, measured) == {}
    assert find_regressions({"node CPU": 5.0, "message": 3.0}, measured) == {
        "message": "message: 2.39, more than 20% below the 3.00 that is written down"
    }


def test_what_was_not_measured_or_is_no_number_is_a_regression() -> None:
    (text,) = find_regressions({"gone": 5.0}, []).values()
    assert text == "gone: was not measured; 5.00 is written down"
    assert len(find_regressions({"nan": 1.0}, [Ratio("nan", math.nan)])) == 1


def test_ratios_are_read_as_they_were_written(tmp_path) -> None:
    file = tmp_path / "ratios.json"
    write_ratios(file, [Ratio("node CPU: plain / ours", 4.56789)])
    assert read_ratios(file) == {"node CPU: plain / ours": 4.568}


@pytest.mark.parametrize("text", ["", "[]", '{"a": "b"}', '{"a": null}'])
def test_a_file_without_ratios_is_refused_with_its_name(tmp_path, text) -> None:
    file = tmp_path / "ratios.json"
    file.write_text(text)
    with pytest.raises(RatioFileError, match=r"ratios\.json: holds no ratios .*--ratios"):
        read_ratios(file)


def test_a_report_can_be_written_as_json() -> None:
    section = Section(
        "node",
        "nodes",
        (CostRow("c", "w", "s", (1.0, 3.0, 2.0)),),
        (StreamRow("c", "w", "d", (a_round(0.02),), 100.0),),
        (Ratio("r", 2.0),),
        ("tensorrt: no GPU",),
    )
    report = Report(Machine.here("shared-memory"), [section])
    (written,) = json.loads(json.dumps(report.to_json()))["sections"]
    assert written["costs"][0]["median"] == 2.0
    assert written["streams"][0]["cpu_ms"] == pytest.approx(2.0)
    assert written["streams"][0]["latency_ms"]["p50"] == 2.0
    assert written["streams"][0]["rss_mb"] == 100.0
    assert written["ratios"] == {"r": 2.0}
    assert written["notes"] == ["tensorrt: no GPU"]
    assert report.ratios == [Ratio("r", 2.0)]
