from __future__ import annotations

import threading
import time

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
