"""ByteTrack as the library has it, and what happens without the library."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from jetson_detect.core.tracking import ALGORITHMS, find_algorithm
from jetson_detect.core.tracking import bytetrack as bytetrack_module
from jetson_detect.core.tracking.associator import (
    UNTRACKED,
    AssociationOptions,
    TrackerUnavailableError,
)
from jetson_detect.core.tracking.bytetrack import ByteTrack

OPTIONS = AssociationOptions(
    max_missed=5, strong_score=0.4, new_track_score=0.6, min_iou=0.2, weak_min_iou=0.5
)


@pytest.fixture
def tracker():
    pytest.importorskip("trackforge", reason="trackforge is not installed")
    return ByteTrack(OPTIONS)


def boxes_at(*corners: tuple[float, float], size: float = 40.0) -> np.ndarray:
    low = np.array(corners, float).reshape(-1, 2)
    return np.hstack([low, low + size])


def numbers(tracker: ByteTrack, *objects: tuple[float, float, float]) -> list[int]:
    """By x, y and score."""
    scores = np.array([each[2] for each in objects], float)
    return tracker.update(boxes_at(*(each[:2] for each in objects)), scores).tolist()


def test_two_objects_that_cross_keep_their_numbers(tracker):
    """In two lanes, one over the other; only where they are told apart matters."""
    first, second = numbers(tracker, (0, 0, 0.9), (300, 30, 0.9))
    for step in range(1, 31):
        x = 10.0 * step
        assert numbers(tracker, (300 - x, 30, 0.9), (x, 0, 0.9)) == [second, first]


def test_a_weak_detection_goes_on_with_a_track_and_begins_none(tracker):
    assert numbers(tracker, (0, 0, 0.39), (200, 0, 0.9)) == [UNTRACKED, 1]
    assert numbers(tracker, (0, 0, 0.39), (200, 0, 0.1)) == [UNTRACKED, 1]


def test_a_strong_detection_below_the_score_of_new_tracks_begins_none(tracker):
    assert numbers(tracker, (0, 0, 0.59), (200, 0, 0.61)) == [UNTRACKED, 1]


@pytest.mark.parametrize(("shift", "same"), [(26.0, True), (27.0, False)])
def test_strong_detections_overlap_by_min_iou(tracker, shift, same):
    """Two 40 x 40 boxes with a shift of 80/3 have an IoU of 1/5."""
    numbers(tracker, (0, 0, 0.9))
    assert numbers(tracker, (shift, 0, 0.9)) == [1 if same else 2]


@pytest.mark.parametrize(("shift", "same"), [(13.0, True), (14.0, False)])
def test_weak_detections_overlap_by_weak_min_iou(tracker, shift, same):
    """Two 40 x 40 boxes with a shift of 40/3 have an IoU of 1/2."""
    numbers(tracker, (0, 0, 0.9))
    assert numbers(tracker, (shift, 0, 0.3)) == [1 if same else UNTRACKED]


@pytest.mark.parametrize(("missed", "same"), [(4, True), (7, False)])
def test_a_track_is_forgotten_after_max_missed_frames(tracker, missed, same):
    numbers(tracker, (0, 0, 0.9))
    for _ in range(missed):
        assert numbers(tracker) == []
    assert numbers(tracker, (0, 0, 0.9)) == [1 if same else 2]


def test_the_boxes_that_were_given_are_left_alone(tracker):
    boxes = boxes_at((10, 20), (300, 20))
    before = boxes.copy()
    tracker.update(boxes, np.array([0.9, 0.9]))
    assert boxes.tolist() == before.tolist()


@pytest.fixture
def library_as():
    """Put something else in the library's place."""

    def put(module: ModuleType | None) -> None:
        patch.setitem(sys.modules, "trackforge", module)

    with pytest.MonkeyPatch.context() as patch:
        bytetrack_module._library.cache_clear()
        yield put
    bytetrack_module._library.cache_clear()


def test_without_the_library_the_error_has_the_command_that_installs_it(library_as):
    library_as(None)
    with pytest.raises(
        TrackerUnavailableError, match=r"cannot be imported .*; install it: pip install 'trackforge"
    ):
        ByteTrack(OPTIONS)


class OlderTracker:
    def update(self, detections):
        return [(1, *each) for each in detections]


@pytest.mark.parametrize("contents", [{}, {"BYTETRACK": OlderTracker}], ids=["name", "result"])
def test_an_older_library_is_refused(library_as, contents):
    older = ModuleType("trackforge")
    older.__file__ = "/opt/trackforge/__init__.py"
    vars(older).update(contents)
    library_as(older)
    with pytest.raises(TrackerUnavailableError, match=r"needs trackforge 0.4, and /opt/trackforge"):
        ByteTrack(OPTIONS)


def test_an_algorithm_is_found_by_its_name():
    assert find_algorithm("bytetrack") is ByteTrack


def test_an_algorithm_of_ones_own_is_found_by_module_and_name(monkeypatch):
    own = ModuleType("my_tracking")
    own.make = object()
    monkeypatch.setitem(sys.modules, "my_tracking", own)
    assert find_algorithm("my_tracking:make") is own.make


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sort", f"no tracking algorithm 'sort'; there are: {', '.join(ALGORITHMS)}"),
        ("no_such_module:make", "No module named 'no_such_module'.* on PYTHONPATH?"),
        ("json:make", "module 'json' has no attribute 'make'"),
    ],
)
def test_an_algorithm_that_is_not_there_is_named(name, message):
    with pytest.raises(TrackerUnavailableError, match=message):
        find_algorithm(name)
