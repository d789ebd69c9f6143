from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jetson_detect.core.backends import BackendError
from jetson_detect.core.fallback.detector_thread import DetectorThread, NoAnswerError
from jetson_detect.core.pixels import PixelError

sys.path.insert(0, str(Path(__file__).parent))
from numbered_pictures import SELECTION, Script, picture, read, wait_for


@pytest.fixture
def started() -> Iterator[Callable[..., DetectorThread]]:
    """Start a thread to which pictures are handed over before its detector is there."""
    threads: list[DetectorThread] = []

    def start(script: Script, *numbers: int) -> DetectorThread:
        handed_over = threading.Event()
        script.at_load = lambda: handed_over.wait() and None
        threads.append(thread := DetectorThread(script.make, "test"))
        for number in numbers:
            thread.submit(picture(number), selection=SELECTION)
        handed_over.set()
        thread.wait_until_ready(10.0)
        return thread

    yield start
    for each in threads:
        each.close()
        assert each.join(10.0)


def answers(thread: DetectorThread, count: int) -> list[int | Exception]:
    """Take so many answers: the numbers of pictures, and what was raised."""
    taken: list[int | Exception] = []
    for _ in range(count):
        try:
            taken.append(read(thread.result(10.0))[0])
        except (PixelError, BackendError) as error:
            taken.append(error)
    return taken


def raising(errors: dict[int, Exception]) -> Callable[[int], None]:
    def check(number: int) -> None:
        if number in errors:
            raise errors[number]

    return check


@pytest.mark.parametrize(
    ("depth", "events"),
    [
        (1, "start 1, finish 1, start 2, finish 2, start 3, finish 3"),
        (2, "start 1, start 2, finish 1, start 3, finish 2, finish 3"),
        (3, "start 1, start 2, start 3, finish 1, finish 2, finish 3"),
    ],
)
def test_as_many_waiting_pictures_as_fit_are_begun_before_the_first_is_finished(
    started, depth, events
):
    script = Script(depth=depth)
    assert answers(started(script, 1, 2, 3), 3) == [1, 2, 3]
    assert ", ".join(script.events) == events


def test_a_picture_behind_which_none_waits_is_finished_at_once(started):
    script = Script(depth=2)
    thread = started(script)
    for number in (1, 2):
        thread.submit(picture(number), selection=SELECTION)
        assert answers(thread, 1) == [number]
    assert script.events == ["start 1", "finish 1", "start 2", "finish 2"]


def test_a_picture_that_raises_costs_its_own_answer_only(started):
    script = Script(depth=2)
    begin, end = PixelError("not a picture"), BackendError("not finite")
    script.at_start = raising({2: begin})
    script.at_finish = raising({4: end})
    assert answers(started(script, 1, 2, 3, 4, 5), 5) == [1, begin, 3, end, 5]


def test_where_the_depth_shrinks_what_is_begun_is_finished_before_more_is(started):
    script = Script(depth=2)

    def run_out_of_memory(number: int) -> None:
        if number == 2:
            script.depth = 1

    script.at_start = run_out_of_memory
    assert answers(started(script, 1, 2, 3), 3) == [1, 2, 3]
    assert script.events == ["start 1", "start 2", "finish 1", "finish 2", "start 3", "finish 3"]


def test_what_is_raised_between_pictures_is_an_answer_too(started):
    script = Script()
    thread = started(script)
    thread.submit(picture(1), selection=SELECTION)
    assert answers(thread, 1) == [1]
    script.depth = BackendError("the device is gone")
    thread.submit(picture(2), selection=SELECTION)
    with pytest.raises(BackendError, match="the device is gone"):
        thread.result(10.0)
    assert thread.join(10.0)
    assert script.closed == 1


def test_closed_with_pictures_in_flight_it_finishes_and_begins_no_other(started):
    script = Script(depth=2)
    closed = threading.Event()
    script.at_finish = lambda number: closed.wait() and None
    thread = started(script, 1, 2, 3, 4)
    wait_for(lambda: "finish 1" in script.events)
    thread.close()
    closed.set()
    assert thread.join(10.0)
    assert script.events == ["start 1", "start 2", "finish 1"]
    assert script.closed == 1


def test_an_answer_that_does_not_come_in_time_is_an_error(started):
    script = Script()
    healthy = threading.Event()
    script.at_finish = lambda number: healthy.wait() and None
    thread = started(script, 1)
    with pytest.raises(NoAnswerError, match=r"no answer within 0\.02 s"):
        thread.result(0.02)
    healthy.set()


def test_the_time_of_an_answer_is_when_it_was_there_not_when_it_was_taken(started):
    script = Script(depth=1)
    before = time.monotonic()
    thread = started(script, 1, 2)
    wait_for(lambda: "start 2" in script.events)
    there = time.monotonic()
    time.sleep(0.01)
    thread.result(10.0)
    assert before < thread.answered_at <= there


def test_a_detector_that_cannot_be_made_says_why_to_who_waits_for_it():
    def make() -> None:
        raise BackendError("no plan")

    thread = DetectorThread(make, "test")
    with pytest.raises(BackendError, match="no plan"):
        thread.wait_until_ready(10.0)
    with pytest.raises(RuntimeError, match="not ready: call wait_until_ready first"):
        _ = thread.detector
    assert thread.join(10.0)


def test_the_process_ends_after_a_detector_that_is_being_made_was_closed():
    # A daemon thread that comes back from a library once the interpreter is ending is unwound,
    # which aborts the process if the library does not expect it.
    program = """
import time
from jetson_detect.core.fallback.detector_thread import DetectorThread

class Slow:
    def __init__(self):
        time.sleep(0.3)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        print("closed", flush=True)

DetectorThread(Slow, "slow")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "closed\n"), ended.stderr


def test_the_process_ends_though_a_detector_hangs():
    program = """
import threading
from jetson_detect.core.fallback.detector_thread import DetectorThread

DetectorThread(threading.Event().wait, "hanging")
"""
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert ended.returncode == 0
    assert time.monotonic() - started < 20
