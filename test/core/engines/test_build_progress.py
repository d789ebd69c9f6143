from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.engines.build_errors import BuildCancelledError
from jetson_detect.core.engines.build_progress import ProgressTracker
from jetson_detect.core.tensorrt_library.features import features_of

TELLING, SILENT = features_of("10.3.0"), features_of("8.6.0")


@pytest.fixture
def told():
    return []


@pytest.fixture
def tracker(told):
    return ProgressTracker(lambda words, fraction: told.append((words, fraction)), TELLING)


def test_nested_phases_are_shares_of_a_step_of_their_parent(tracker, told):
    tracker.begin("Building", None, 2)
    tracker.advance("Building", 0)
    tracker.begin("Timing", "Building", 4)
    tracker.advance("Timing", 0)
    tracker.begin("Tactic", "Timing", 2)
    tracker.advance("Tactic", 0)
    assert [fraction for _, fraction in told] == [0, 0.5, 0.5, 0.625, 0.625, 0.6875]


def test_the_outermost_phase_but_one_gives_the_words(tracker, told):
    tracker.begin("Building", None, 2)
    tracker.begin("Timing", "Building", 4)
    tracker.begin("Finding tactic for x", "Timing", 4)
    assert [words for words, _ in told] == [
        "building: Building",
        "building: Timing",
        "building: Timing",
    ]


def test_a_phase_that_ends_before_its_parents_step_leads_not_back(tracker, told):
    tracker.begin("Building", None, 2)
    tracker.begin("Timing", "Building", 1)
    tracker.advance("Timing", 0)
    tracker.end("Timing")
    tracker.begin("Serialising", "Building", 1)
    tracker.advance("Building", 0)
    assert [fraction for _, fraction in told] == [0, 0, 0.5, 0.5, 0.5]


@given(
    st.lists(
        st.tuples(st.sampled_from("bae"), st.sampled_from("pqrs"), st.sampled_from("pqrs "),
                  st.integers(0, 5)),
        max_size=40,
    )
)  # fmt: skip
def test_the_fraction_never_falls_and_stays_between_0_and_1_whatever_is_told(calls):
    fractions = []
    tracker = ProgressTracker(lambda words, fraction: fractions.append(fraction), TELLING)
    for what, name, parent, number in calls:
        if what == "b":
            tracker.begin(name, parent.strip() or None, number)
        elif what == "a":
            assert tracker.advance(name, number)
        else:
            tracker.end(name)
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


def test_what_the_report_raises_stops_the_build_and_is_kept(told):
    def report(words, fraction):
        told.append(fraction)
        raise BuildCancelledError("enough")

    tracker = ProgressTracker(report, TELLING)
    tracker.begin("Building", None, 2)
    assert tracker.advance("Building", 0) is False
    assert tracker.advance("unheard of", 0) is False
    assert str(tracker.failure) == "enough"
    assert told == [0]


def test_where_progress_is_not_told_the_fraction_is_none(told):
    tracker = ProgressTracker(lambda words, fraction: told.append((words, fraction)), SILENT)
    tracker.enter("parsing")
    tracker.enter("serialising", finished=True)
    assert told == [("parsing", None), ("serialising", None)]


def test_several_threads_are_told_one_after_the_other():
    inside, most = 0, 0

    def report(words, fraction):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        waiting.wait(0.001)
        inside -= 1

    waiting = threading.Event()
    tracker = ProgressTracker(report, TELLING)
    tracker.begin("Building", None, 40)

    def steps():
        for index in range(10):
            tracker.advance("Building", index)

    threads = [threading.Thread(target=steps) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
