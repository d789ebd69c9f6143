from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.golden_comparison import GoldenComparison
from jetson_detect.core.replay_limits import (
    GOLDEN_LIMITS,
    Allowance,
    ReplayLimits,
    check_accuracy,
    check_known,
    check_objects,
    check_played,
    check_speed,
)


def balls(*places: tuple[float, float]) -> Detections:
    """Make balls of 20 by 20 pixels: the left edge and the score of each."""
    boxes = np.array([(x, 0, x + 20, 20) for x, _ in places], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in places], np.float32)
    return Detections.from_best(boxes, scores, np.zeros(len(places), np.int32))


def figures(*pairs, unknown=()):
    comparison = GoldenComparison(["ball"])
    for number, (found, reference) in enumerate(pairs):
        comparison.add(f"frame {number}", number, found, reference)
    for name in unknown:
        comparison.add(name, 0, balls(), None)
    return comparison.figures()


THREE = balls((0, 0.9), (100, 0.8), (200, 0.7))
RUN = figures((THREE, THREE), (balls((3, 0.9), (100, 0.8)), THREE), (balls((0, 0.9)), balls()))
"""6 objects: 1 missed and one moved by 3 px in frame 1, 1 extra in frame 2."""


@pytest.mark.parametrize(
    ("text", "count", "of", "permitted"),
    [
        ("3", 3, 1000, True),
        ("3", 4, 1000, False),
        (0, 0, 5, True),
        ("2%", 2, 100, True),
        ("2%", 3, 100, False),
        ("2 %", 2, 100, True),
        ("0.5%", 1, 199, False),
        ("10%", 0, 0, True),
        ("10%", 1, 0, False),
    ],
)
def test_an_allowance_is_a_number_or_a_share(text, count, of, permitted):
    assert Allowance.parse(text).permits(count, of) is permitted


@pytest.mark.parametrize("text", ["", "%", "-1", "-1%", "many", "nan", "inf", "1%%"])
def test_what_is_no_allowance_is_refused(text):
    with pytest.raises(ValueError, match="neither a number of objects"):
        Allowance.parse(text)


def test_limits_are_read_by_their_names():
    limits = ReplayLimits.parse({"max_missed": "2%", "max_extra": 1, "min_map50": 0.9})
    assert limits == ReplayLimits(
        max_missed=Allowance(0.02, True), max_extra=Allowance(1), min_map50=0.9
    )
    with pytest.raises(TypeError, match="limit 'max_lost' is not known; there are max_missed, "):
        ReplayLimits.parse({"max_lost": 1})


def test_what_is_not_demanded_is_filled_in():
    limits = ReplayLimits(max_moved_px=5.0).or_else(GOLDEN_LIMITS)
    assert (limits.max_moved_px, limits.max_missed) == (5.0, Allowance(0))
    assert ReplayLimits(max_missed=Allowance(3)).only(["min_map50"]) == ReplayLimits()


@pytest.mark.parametrize(
    ("limits", "measured", "limit", "passed", "frames"),
    [
        ({"max_missed": 1}, "1 missed of 6 objects", "at most 1", True, 0),
        ({"max_missed": 0}, "1 missed of 6 objects", "at most 0", False, "frame 1: missed ball"),
        ({"max_missed": "17%"}, "1 missed of 6 objects", "at most 17 %", True, 0),
        ({"max_missed": "16%"}, "1 missed of 6 objects", "at most 16 %", False, "frame 1: missed"),
        ({"max_extra": 0}, "1 extra of 6 objects", "at most 0", False, "frame 2: extra ball"),
        ({"max_moved_px": 3.0}, "3 px", "at most 3 px", True, 0),
        (
            {"max_moved_px": 2.9},
            "3 px",
            "at most 2.9 px",
            False,
            "frame 1: missed ball, moved 3.00",
        ),
        ({"max_score_drift": 0.0}, "0", "at most 0", True, 0),
    ],
)
def test_objects_are_judged_and_the_worst_frames_named(limits, measured, limit, passed, frames):
    (check,) = check_objects("/image", ReplayLimits.parse(limits), RUN)
    assert (check.name, check.topic) == (next(iter(limits)), "/image")
    assert (check.measured, check.limit, check.passed) == (measured, limit, passed)
    if passed:
        assert check.frames == ()
    else:
        assert len(check.frames) == 1
        assert check.frames[0].startswith(frames)
        assert str(check) == f"{check.verdict}\n  {check.frames[0]}"
    assert check.verdict == f"{check.name} of /image: {measured} (required: {limit})"


def test_of_many_bad_frames_the_worst_are_named_and_the_rest_counted():
    pairs = [(balls(), balls(*[(100.0 * place, 0.9) for place in range(number)]))
             for number in range(9)]  # fmt: skip
    (check,) = check_objects("/image", ReplayLimits.parse({"max_missed": 0}), figures(*pairs))
    assert [frame.split(":")[0] for frame in check.frames] == [
        "frame 8", "frame 7", "frame 6", "frame 5", "frame 4", "… and 3 more"
    ]  # fmt: skip


def test_average_precision_is_judged_and_nothing_is_not_enough():
    # All of frame 0 and two of three in frame 1 are found, the extra one has the best score.
    limits = ReplayLimits(min_map50=0.5, min_map75=0.95)
    by_name = {check.name: check for check in check_accuracy("/image", limits, RUN)}
    assert by_name["min_map50"].passed
    assert not by_name["min_map75"].passed
    assert RUN.accuracy is not None
    assert by_name["min_map75"].measured == f"{RUN.accuracy.map75:.4f}"
    assert len(by_name["min_map75"].frames) == 2
    (check,) = check_accuracy("/image", ReplayLimits(min_map50=0.0), figures((balls(), balls())))
    assert (check.passed, check.measured) == (False, "unknown: the reference holds no object")


def test_speed_is_judged_from_both_sides():
    limits = ReplayLimits(max_latency_ms_p50=5.0, max_latency_ms_p99=9.0, min_fps=30.0)
    verdicts = {
        check.name: (check.passed, check.measured, check.limit)
        for check in check_speed("/image", limits, 5.0, 9.5, 29.0)
    }
    assert verdicts == {
        "max_latency_ms_p50": (True, "5 ms", "at most 5 ms"),
        "max_latency_ms_p99": (False, "9.5 ms", "at most 9 ms"),
        "min_fps": (False, "29 frames/s", "at least 30 frames/s"),
    }
    unknown = list(check_speed("/image", limits, None, None, None))
    assert [check.passed for check in unknown] == [False] * 3
    assert list(check_speed("/image", ReplayLimits(), 1.0, 1.0, 1.0)) == []


def test_a_frame_that_the_earlier_run_does_not_know_is_no_success():
    assert check_known("/image", RUN).passed
    check = check_known("/image", figures((THREE, THREE), unknown=["frame 7", "frame 8"]))
    assert (check.passed, check.frames) == (False, ("frame 7", "frame 8"))
    assert check.measured == "2 of 3 frames are not in the reference"


def test_a_frame_of_the_earlier_run_that_was_not_played_is_no_success():
    assert check_played("/image", RUN).passed
    comparison = GoldenComparison(["ball"])
    comparison.add("frame 0", 0, THREE, THREE)
    check = check_played("/image", comparison.figures(["stamp 1", "stamp 2"]))
    assert (check.passed, check.frames) == (False, ("stamp 1", "stamp 2"))
    assert check.measured == "2 of 3 frames of the reference are not in the bag"
