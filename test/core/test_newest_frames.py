from __future__ import annotations

import threading
import time

from jetson_detect.core.newest_frames import NewestFrames


def test_a_newer_frame_replaces_one_that_nobody_took():
    frames: NewestFrames[str, int] = NewestFrames()
    assert frames.put("front", 1) is False
    assert frames.put("front", 2) is True
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
