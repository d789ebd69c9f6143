from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.core.backends import BackendError
from jetson_detect.core.camera_views import ViewedPicture, Viewer
from jetson_detect.core.selection import Selection
from jetson_detect.nodes.frame_worker import FrameWorker, Service

PATIENCE_S = 10.0


class FakeContext:
    def ok(self) -> bool:
        return True


class FakeChannel:
    """A camera that keeps what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: list[tuple[str, int]] = []
        """Who answered, and the number in the frame."""
        self.problems: list[str] = []

    def read(self, frame: Any) -> Any:
        return read_image(frame)

    def look(self, picture: Any, network: Any) -> ViewedPicture:
        return Viewer().look(picture, network)

    def publish(self, found: Any, header: Any, seen: Any, class_id_format: Any) -> None:
        self.answers.append(found)

    def report_bad_frame(self, error: Exception) -> None:
        self.problems.append(str(error))


class FakeChain:
    """Answers with its own name and the number that is the picture's grey value."""

    def __init__(self, name: str = "chain", depth: int = 1, max_batch: int = 1) -> None:
        self.name, self.depth, self.max_batch = name, depth, max_batch
        self.calls: list[list[int]] = []
        self.in_flight: deque[int] = deque()
        self.go_on = threading.Event()
        self.go_on.set()
        self.refused: tuple[int, ...] = ()
        self.seconds = 0.0

    def submit(self, *pictures: Any, selection: Selection) -> None:
        self.calls.append([int(pixels.data[0, 0, 0]) for pixels in pictures])
        self.in_flight.extend(self.calls[-1])
        time.sleep(self.seconds)

    def result(self) -> tuple[str, int]:
        assert self.go_on.wait(PATIENCE_S)
        number = self.in_flight.popleft()
        if number in self.refused:
            raise BackendError(f"{number} is refused")
        return self.name, number


def frame(number: int, encoding: str = "bgr8") -> np.ndarray:
    """A serialised image whose grey value is its number."""
    image = Image(height=2, width=2, step=6, encoding=encoding, data=bytes([number] * 12))
    return np.frombuffer(serialize_message(image), np.uint8)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


class Bench:
    """A worker, with what answers in it."""

    def __init__(self, chain: FakeChain, **options: Any) -> None:
        self.service = Service(chain, Selection(), **options)  # type: ignore[arg-type]
        self.exchanges: list[tuple[str, str, int]] = []
        """From which chain to which, and what the old one still had to answer."""
        self.channels = [FakeChannel(name) for name in "abcdefgh"]
        self.worker = FrameWorker(lambda: self.service, FakeContext(), self._exchanged)  # type: ignore[arg-type]

    def put(self, camera: int, number: int, keep: int = 1, **changes: Any) -> int:
        return self.worker.put(self.channels[camera], frame(number, **changes), keep)  # type: ignore[arg-type]

    def answers(self) -> list[tuple[str, int]]:
        return [answer for channel in self.channels for answer in channel.answers]

    def _exchanged(self, before: Any, after: Any) -> None:
        self.exchanges.append((before.chain.name, after.chain.name, len(before.chain.in_flight)))


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(chain: FakeChain, **options: Any) -> Bench:
        benches.append(Bench(chain, **options))
        return benches[-1]

    yield start
    for each in benches:
        each.service.chain.go_on.set()  # type: ignore[attr-defined]
        assert each.worker.close(PATIENCE_S)


def held(running: Bench, chain: FakeChain) -> None:
    """Have the worker wait for an answer, to a frame of the last camera."""
    chain.go_on.clear()
    running.put(7, 250)
    wait_for(lambda: chain.in_flight)


def test_frames_that_wait_go_into_one_call_as_far_as_chain_and_parameter_allow(bench):
    chain = FakeChain(max_batch=6)
    running = bench(chain, max_batch=4)
    held(running, chain)
    for camera in range(5):
        running.put(camera, camera)
    chain.go_on.set()
    wait_for(lambda: len(running.answers()) == 6)
    assert chain.calls == [[250], [0, 1, 2, 3], [4]]
    for camera in range(5):
        assert running.channels[camera].answers == [("chain", camera)]
    counts = running.worker.counts
    assert (counts.calls, counts.batched_calls, counts.frames) == (3, 1, 6)
    assert counts.mean_size == 2.0
    chain.max_batch = 2
    held(running, chain)
    for camera in range(3):
        running.put(camera, 10 + camera)
    chain.go_on.set()
    wait_for(lambda: len(running.answers()) == 10)
    assert sorted(map(len, chain.calls[3:])) == [1, 1, 2]


def test_a_bad_frame_and_one_that_fails_cost_themselves_and_not_their_batch(bench):
    chain = FakeChain(max_batch=8)
    running = bench(chain, max_batch=8)
    held(running, chain)
    running.put(0, 1)
    running.put(1, 2, encoding="nonsense")
    running.put(2, 3)
    running.put(3, 4)
    chain.refused = (3,)
    chain.go_on.set()
    wait_for(lambda: running.channels[3].answers)
    assert chain.calls[1] == [1, 3, 4]
    assert [bool(channel.answers) for channel in running.channels[:4]] == [True, False, False, True]
    assert "nonsense" in running.channels[1].problems[0]
    assert running.channels[2].problems == ["3 is refused"]


def test_a_frame_that_is_not_wanted_any_more_when_its_turn_comes_is_left_out(bench):
    chain = FakeChain(max_batch=8)
    running = bench(chain, max_batch=8, wants=lambda channel, header: channel.name != "b")
    held(running, chain)
    for camera in range(3):
        running.put(camera, camera)
    chain.go_on.set()
    wait_for(lambda: running.channels[2].answers)
    assert chain.calls[1] == [0, 2]
    assert running.channels[1].problems == []
    running.put(1, 9)  # alone: no call at all
    running.put(0, 5)
    wait_for(lambda: ("chain", 5) in running.channels[0].answers)
    assert [9] not in chain.calls


def test_another_chain_begins_when_the_old_one_has_answered_all_it_has(bench):
    old, new = FakeChain("old", depth=3, max_batch=2), FakeChain("new", depth=3, max_batch=2)
    running = bench(old, max_batch=2)
    old.go_on.clear()
    for number in range(3):
        running.put(0, number, keep=9)
    wait_for(lambda: len(old.calls) == 3)
    running.service = replace(running.service, chain=new)
    running.put(0, 3, keep=9)
    running.put(1, 4, keep=9)
    old.go_on.set()
    wait_for(lambda: len(running.answers()) == 5)
    assert running.channels[0].answers == [("old", 0), ("old", 1), ("old", 2), ("new", 3)]
    assert running.channels[1].answers == [("new", 4)]
    assert running.exchanges == [("old", "new", 0)]


def test_other_settings_of_the_same_chain_are_no_exchange(bench):
    chain = FakeChain()
    running = bench(chain)
    running.put(0, 1)
    wait_for(lambda: len(running.answers()) == 1)
    running.service = replace(running.service, selection=Selection(score_threshold=0.9))
    running.put(0, 2)
    wait_for(lambda: len(running.answers()) == 2)
    assert running.exchanges == []


def test_frames_flow_through_many_exchanges_and_each_is_answered_once(bench):
    chains = [
        FakeChain(str(index), depth=1 + index % 3, max_batch=1 + index % 4) for index in range(9)
    ]
    running = bench(chains[0], max_batch=8)
    for number in range(90):
        for camera in range(3):
            assert running.put(camera, number, keep=100) == 0
        running.service = replace(running.service, chain=chains[number // 10])
    wait_for(lambda: len(running.answers()) == 270)
    for channel in running.channels[:3]:
        assert [number for _, number in channel.answers] == list(range(90))
        order = [int(name) for name, _ in channel.answers]
        assert order == sorted(order)
    assert all(left == 0 for _, _, left in running.exchanges)


@pytest.mark.parametrize("max_batch", [1, 3, 5])
def test_cameras_are_answered_equally_often_also_when_there_is_not_time_for_all(bench, max_batch):
    chain = FakeChain(max_batch=max_batch)
    chain.seconds = 0.002
    running = bench(chain, max_batch=max_batch)
    replaced = 0
    number = 0
    while chain.calls[60:] == []:
        number += 1
        for camera in range(8 if number % 3 else 7):  # one of them sends less often
            replaced += running.put(camera, number % 200)
        time.sleep(0.0002)
    counts = [len(channel.answers) for channel in running.channels]
    assert replaced > 0
    assert max(counts) - min(counts) <= 1 + max(counts) * 0.05


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_service_that_goes_when_the_worker_is_closed_is_not_asked_for_again(bench):
    chain = FakeChain()
    running = bench(chain)
    held(running, chain)
    closing = threading.Thread(target=running.worker.close, args=(PATIENCE_S,))
    closing.start()
    service, running.service = running.service, None  # type: ignore[assignment]
    chain.go_on.set()
    closing.join(PATIENCE_S)
    running.service = service
    assert running.channels[7].answers == [("chain", 250)]
