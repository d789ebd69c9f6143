from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from jetson_detect.core import newest_frames
from jetson_detect.core.newest_frames import NewestFrames


def test_a_newer_frame_replaces_one_that_nobody_took():
    frames: NewestFrames[str, int] = NewestFrames()
    assert frames.put("front", 1) == 0
    assert frames.put("front", 2) == 1
    assert frames.take(0) == ("front", 2)
    assert frames.take(0) is None


def test_cameras_take_turns_however_fast_one_of_them_is():
    frames: NewestFrames[str, int] = NewestFrames()
    frames.put("fast", 1)
    frames.put("slow", 1)
    taken = []
    for index in range(2, 6):
        frames.put("fast", index)
        taken.append(frames.take(0))
        frames.put("fast", index)
        if index % 2:
            frames.put("slow", index)
    assert [camera for camera, _ in filter(None, taken)] == ["fast", "slow", "fast", "slow"]


def test_frames_that_are_to_be_kept_are_taken_in_their_order_up_to_a_limit():
    frames: NewestFrames[str, int] = NewestFrames()
    assert [frames.put("front", index, keep=3) for index in range(5)] == [0, 0, 0, 1, 1]
    assert [frames.take(0) for _ in range(4)] == [("front", 2), ("front", 3), ("front", 4), None]


def test_what_was_kept_goes_when_only_the_newest_counts_again():
    frames: NewestFrames[str, int] = NewestFrames()
    for index in range(4):
        frames.put("front", index, keep=10)
    assert frames.put("front", 4) == 4
    assert frames.take(0) == ("front", 4)
    assert frames.take(0) is None


def test_cameras_take_turns_also_with_frames_that_are_kept():
    frames: NewestFrames[str, int] = NewestFrames()
    for index in range(2):
        frames.put("front", index, keep=10)
        frames.put("rear", index, keep=10)
    taken = [frames.take(0) for _ in range(4)]
    assert taken == [("front", 0), ("rear", 0), ("front", 1), ("rear", 1)]


def test_a_waiting_worker_gets_a_frame_as_soon_as_it_comes():
    frames: NewestFrames[str, int] = NewestFrames()
    taken: list[object] = []
    worker = threading.Thread(target=lambda: taken.append(frames.take(10)))
    worker.start()
    frames.put("front", 1)
    worker.join(5)
    assert taken == [("front", 1)]


def test_closing_wakes_the_worker_and_drops_what_waits():
    frames: NewestFrames[str, int] = NewestFrames()
    taken: list[object] = []
    worker = threading.Thread(target=lambda: taken.append(frames.take()))
    worker.start()
    frames.close()
    worker.join(5)
    assert taken == [None]
    frames.put("front", 1)
    assert frames.take(0) is None


def test_a_take_gives_up_after_its_time():
    frames: NewestFrames[str, int] = NewestFrames()
    start = time.monotonic()
    assert frames.take(0.05) is None
    assert 0.04 < time.monotonic() - start < 5


# Several at once


def test_a_batch_has_at_most_one_frame_of_each_camera_those_served_longest_ago_first():
    frames: NewestFrames[str, int] = NewestFrames()
    for camera in "abc":
        frames.put(camera, 1, keep=3)
        frames.put(camera, 2, keep=3)
    assert frames.take_batch(2) == [("a", 1), ("b", 1)]
    assert frames.take_batch(8) == [("c", 1), ("a", 2), ("b", 2)]
    assert frames.take_batch(8) == [("c", 2)]
    assert frames.take_batch(8, 0.0) == []


def test_cameras_take_turns_also_where_a_batch_has_no_room_for_all():
    frames: NewestFrames[str, int] = NewestFrames()
    taken: Counter[str] = Counter()
    for turn in range(30):
        for camera in "abcde":
            frames.put(camera, turn)
        taken.update(camera for camera, _ in frames.take_batch(3))
    assert set(taken.values()) == {18}


class Clock:
    """Set by hand; a wait goes on until its end, or until something is done at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self.events: list[tuple[float, Callable[[], object]]] = []
        monkeypatch.setattr(newest_frames, "time", self)
        monkeypatch.setattr(threading.Condition, "wait", lambda _, timeout=None: self.wait(timeout))

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None) -> bool:
        assert timeout is not None, "it would wait for ever"
        self.waits.append(timeout)
        until = self.now + timeout
        if self.events and self.events[0][0] <= until:
            self.now, event = self.events.pop(0)
            event()
            return True
        self.now = until
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def beat(frames: NewestFrames[str, int], clock: Clock, offsets: dict[str, float]) -> None:
    """Have cameras send ten frames a second, three each, all of which are taken."""
    start = clock.now
    for turn in range(3):
        for camera, offset in sorted(offsets.items(), key=lambda each: each[1]):
            clock.now = start + 0.1 * turn + offset
            frames.put(camera, turn)
        frames.take_batch(8, 0.0)
    clock.now = start + 0.3


def test_a_frame_waits_for_that_of_a_camera_which_is_due(clock):
    frames: NewestFrames[str, int] = NewestFrames()
    beat(frames, clock, {"a": 0.0, "b": 0.003})
    frames.put("a", 7)
    clock.events = [(clock.now + 0.003, lambda: frames.put("b", 8))]
    assert frames.take_batch(8, None, 0.005) == [("a", 7), ("b", 8)]
    assert clock.waits == [pytest.approx(0.005)]


def test_nothing_waits_when_all_that_send_are_there_or_the_batch_is_full(clock):
    frames: NewestFrames[str, int] = NewestFrames()
    beat(frames, clock, {"a": 0.0, "b": 0.003, "c": 0.003})
    for camera in "abc":
        frames.put(camera, 7)
    assert len(frames.take_batch(8, None, 0.005)) == 3
    clock.now += 0.1
    frames.put("a", 8)
    frames.put("b", 8)
    assert frames.take_batch(2, None, 0.005) == [("a", 8), ("b", 8)]
    assert clock.waits == []


def test_nothing_waits_for_a_camera_that_sends_at_another_time_or_no_more(clock):
    frames: NewestFrames[str, int] = NewestFrames()
    beat(frames, clock, {"a": 0.0, "other": 0.05, "gone": 0.003})
    frames.put("a", 7)
    clock.events = [(clock.now + 0.005, lambda: None)]
    assert frames.take_batch(8, None, 0.005) == [("a", 7)]
    assert len(clock.waits) == 1  # for the one that is just late
    clock.waits.clear()
    for turn in range(1, 4):
        clock.now = 100.3 + 0.1 * turn
        frames.put("a", turn)
        assert frames.take_batch(8, None, 0.005) == [("a", turn)]
    assert len(clock.waits) <= 1


def test_the_wait_counts_from_a_frames_arrival(clock):
    frames: NewestFrames[str, int] = NewestFrames()
    beat(frames, clock, {"a": 0.0, "b": 0.004})
    frames.put("a", 7)
    clock.now += 0.003  # the worker was busy
    assert frames.take_batch(8, None, 0.005) == [("a", 7)]
    assert clock.waits == [pytest.approx(0.002)]
    frames.put("a", 8)
    clock.now += 0.006
    assert frames.take_batch(8, None, 0.005) == [("a", 8)]
    assert len(clock.waits) == 1


def test_a_frame_that_was_replaced_counts_from_the_first(clock):
    frames: NewestFrames[str, int] = NewestFrames()
    beat(frames, clock, {"a": 0.0, "b": 0.007})
    frames.put("a", 7)
    clock.now += 0.006
    assert frames.put("a", 8) == 1
    assert frames.take_batch(8, None, 0.005) == [("a", 8)]
    assert clock.waits == []


def test_without_a_wait_what_is_there_is_taken(clock):
    frames: NewestFrames[str, int] = NewestFrames()
    beat(frames, clock, {"a": 0.0, "b": 0.003})
    frames.put("a", 7)
    assert frames.take_batch(8) == [("a", 7)]
    assert clock.waits == []
