"""Frames over real DDS, in both modes."""

from __future__ import annotations

import array
import gc
import threading
import weakref

import numpy as np
import pytest
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.middleware import frame_receiver
from jetson_detect.middleware.frame_receiver import FrameReceiver, ReceiveMode
from jetson_detect.middleware.rcl_library import RclError, RclLibrary, RclUnavailableError
from jetson_detect.middleware.received_image import ReceivedImage

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
MODES = pytest.mark.parametrize("mode", [ReceiveMode.RCL, ReceiveMode.RAW])


class Camera:
    """Publishes images that are told apart by their stamps and bytes."""

    def __init__(self, graph, topic="image", qos=RELIABLE):
        self._graph = graph
        self._publisher = graph.node(f"camera_of_{topic}").create_publisher(Image, topic, qos)

    def wait_for_receiver(self):
        self._graph.spin_until(
            lambda: self._publisher.get_subscription_count() > 0, what="the receiver"
        )

    def send(self, number, width=4, height=3, step=None):
        step = step or width * 3
        message = Image(width=width, height=height, step=step, encoding="bgr8")
        message.header.stamp.sec, message.header.frame_id = number, "front"
        message.data = array.array("B", bytes([number % 256]) * (step * height))
        self._publisher.publish(message)


class Receiver:
    """A receiver that keeps what it gets."""

    def __init__(self, graph, mode, on_frame=None):
        self.frames, self.errors = [], []
        self.node = graph.node("receiver")
        self.receiver = FrameReceiver(
            self.node,
            on_frame or (lambda key, frame: self.frames.append((key, frame))),
            lambda key, error: self.errors.append((key, error)),
            mode,
        )

    def stamps(self):
        return [read_image(frame)[0].sec for _, frame in self.frames]


@pytest.fixture
def receive(graph):
    """Make receivers that are closed before their node goes."""
    made = []

    def make(mode, on_frame=None):
        made.append(Receiver(graph, mode, on_frame))
        return made[-1]

    yield make
    for receiver in made:
        receiver.receiver.close()


@MODES
@pytest.mark.parametrize("qos", [RELIABLE, BEST_EFFORT], ids=["reliable", "best_effort"])
def test_frames_arrive_whole_and_in_their_order(graph, receive, mode, qos):
    camera, receiver = Camera(graph, qos=qos), receive(mode)
    receiver.receiver.add("front", "image", qos)
    assert receiver.receiver.mode_in_force == mode
    camera.wait_for_receiver()
    for number in range(8):
        camera.send(number)
    graph.spin_until(lambda: len(receiver.frames) == 8, what="eight frames")
    assert receiver.stamps() == list(range(8))
    for number, (key, frame) in enumerate(receiver.frames):
        header, pixels = read_image(frame)
        assert (key, header.frame_id, pixels.size) == ("front", "front", (4, 3))
        np.testing.assert_array_equal(pixels.data, np.full((3, 4, 3), number))
    assert receiver.errors == []


@MODES
def test_rows_that_are_longer_than_their_pixels_arrive(graph, receive, mode):
    camera, receiver = Camera(graph), receive(mode)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    camera.send(1, step=16)
    graph.spin_until(lambda: receiver.frames, what="the frame")
    assert read_image(receiver.frames[0][1])[1].data.strides == (16, 3, 1)


@MODES
def test_images_of_full_size_arrive_and_may_change_their_size(graph, receive, mode):
    camera, receiver = Camera(graph), receive(mode)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    sizes = [(64, 48), (1920, 1080), (640, 480), (1921, 1081)]
    for number, (width, height) in enumerate(sizes):
        camera.send(number, width, height)
        graph.spin_until(lambda n=number: len(receiver.frames) == n + 1, what="the frame")
    for number, (_, frame) in enumerate(receiver.frames):
        pixels = read_image(frame)[1]
        assert pixels.size == sizes[number]
        assert (pixels.data == number).all()


def test_frames_that_nobody_holds_share_one_memory(graph, receive):
    places = []

    def look(key, frame):
        places.append(frame.data.ctypes.data)

    camera, receiver = Camera(graph), receive(ReceiveMode.RCL, look)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    for number in range(12):
        camera.send(number, 640, 480)
        graph.spin_until(lambda n=number: len(places) == n + 1, what="the frame")
    # A second one where the next frame comes before the receiver's thread has let go of the last.
    assert len(set(places)) <= 2


@MODES
def test_topics_are_told_apart_by_their_keys(graph, receive, mode):
    receiver = receive(mode)
    cameras = [Camera(graph, f"image_{number}") for number in range(3)]
    for number, camera in enumerate(cameras):
        receiver.receiver.add(number, f"image_{number}", RELIABLE)
        camera.wait_for_receiver()
    for number, camera in enumerate(cameras):
        camera.send(10 + number)
    graph.spin_until(lambda: len(receiver.frames) == 3, what="three frames")
    assert {key: read_image(frame)[0].sec for key, frame in receiver.frames} == {
        0: 10,
        1: 11,
        2: 12,
    }


@MODES
def test_no_frame_comes_from_a_topic_that_was_removed(graph, receive, mode):
    receiver = receive(mode)
    kept, removed = Camera(graph, "kept"), Camera(graph, "removed")
    receiver.receiver.add("kept", "kept", RELIABLE)
    receiver.receiver.add("removed", "removed", RELIABLE)
    kept.wait_for_receiver()
    removed.wait_for_receiver()
    receiver.receiver.remove("removed")
    removed.send(1)
    kept.send(2)
    graph.spin_until(lambda: receiver.frames, what="the other topic's frame")
    assert [key for key, _ in receiver.frames] == ["kept"]
    with pytest.raises(KeyError, match="removed"):
        receiver.receiver.remove("removed")


def test_no_frame_follows_one_that_is_looked_at_while_its_topic_is_removed(graph, receive):
    seen, looked_at = [], threading.Event()

    def look(key, frame):
        seen.append(key)
        assert looked_at.wait(30.0)

    camera, receiver = Camera(graph), receive(ReceiveMode.RCL, look)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    for number in range(5):
        camera.send(number)
    graph.spin_until(lambda: seen, what="the first frame")
    remover = threading.Thread(target=receiver.receiver.remove, args=("front",))
    remover.start()
    # The removal has begun once it waits; the topic is unknown then.
    graph.spin_until(lambda: "front" not in receiver.receiver, what="the removal")
    looked_at.set()
    remover.join(30.0)
    assert not remover.is_alive()
    receiver.receiver.close()
    assert seen == ["front"]


@MODES
def test_a_topic_may_be_removed_while_its_frame_is_handed_over(graph, receive, mode):
    seen = []

    def once(key, frame):
        seen.append(key)
        receiver.receiver.remove(key)

    camera, receiver = Camera(graph), receive(mode, once)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    camera.send(1)
    graph.spin_until(lambda: seen, what="the frame")
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    graph.spin_until(lambda: camera.send(2) or len(seen) == 2, what="the next frame")


@MODES
def test_a_callback_that_raises_is_told_and_the_next_frame_comes(graph, receive, mode):
    seen = []

    def fail_first(key, frame):
        seen.append(frame)
        if len(seen) == 1:
            raise ValueError("what a frame")

    camera, receiver = Camera(graph), receive(mode, fail_first)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    camera.send(1)
    camera.send(2)
    graph.spin_until(lambda: len(seen) == 2, what="both frames")
    assert [(key, str(error)) for key, error in receiver.errors] == [("front", "what a frame")]


def test_an_error_callback_that_raises_does_not_end_the_thread(graph):
    seen = []

    def fail(key, what):
        seen.append(what)
        raise ValueError("again")

    camera = Camera(graph)
    receiver = FrameReceiver(graph.node("receiver"), fail, fail, ReceiveMode.RCL)
    receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    camera.send(1)
    camera.send(2)
    graph.spin_until(lambda: len(seen) == 4, what="two frames and two errors")
    receiver.close()


@pytest.mark.parametrize("failure", [RclError("taking a message failed (1)"), MemoryError("full")])
def test_an_error_of_the_middleware_is_told(graph, receive, monkeypatch, failure):
    camera, receiver = Camera(graph), receive(ReceiveMode.RCL)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()

    def broken(self, subscription, address):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(RclLibrary, "take", broken)
        camera.send(1)
        graph.spin_until(lambda: receiver.errors, what="the error")
    assert receiver.errors[0] == ("front", failure)
    camera.send(2)
    graph.spin_until(lambda: len(receiver.frames) == 2, what="the frames")


def test_an_image_that_cannot_be_looked_at_costs_itself_alone(graph, receive, monkeypatch):
    camera, receiver = Camera(graph), receive(ReceiveMode.RCL)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    failure = TypeError("a NumPy that takes no null pointer")

    def fails(slots, image):
        raise failure

    with monkeypatch.context() as context:
        context.setattr("jetson_detect.middleware.frame_receiver.ImageSlots.view", fails)
        camera.send(0)
        graph.spin_until(lambda: receiver.errors, what="the error")
    camera.send(1)
    graph.spin_until(lambda: receiver.frames, what="the next frame")
    assert receiver.errors == [("front", failure)]
    assert receiver.stamps() == [1]


def test_an_executor_that_takes_the_frames_itself_hands_them_over(graph, receive):
    camera, receiver = Camera(graph), receive(ReceiveMode.RCL)
    receiver.receiver.add("front", "image", RELIABLE)
    subscription = next(iter(receiver.node.subscriptions))
    camera.wait_for_receiver()
    assert not subscription.callback_group.can_execute(subscription)
    received = array.array("B", bytes(4))
    subscription.callback(bytes(received))
    assert receiver.frames[0][1].tolist() == [0, 0, 0, 0]


def test_without_librcl_the_executor_takes_the_frames(graph, receive, monkeypatch):
    def unavailable():
        raise RclUnavailableError("librcl lacks a function: rcl_take")

    monkeypatch.setattr(frame_receiver, "load_rcl", unavailable)
    receiver = receive(ReceiveMode.AUTO).receiver
    assert (receiver.mode_in_force, receiver.reason) == (
        ReceiveMode.RAW,
        "librcl lacks a function: rcl_take",
    )
    with pytest.raises(RclUnavailableError, match=r"in mode 'rcl' \(librcl lacks .* 'auto' or"):
        FrameReceiver(graph.node("other"), print, print, ReceiveMode.RCL)


def test_with_a_middleware_that_tells_no_arrivals_the_executor_takes_them(
    graph, receive, monkeypatch
):
    def unsupported(self, subscription, semaphore):
        raise RclUnavailableError("the middleware tells nothing of new messages")

    monkeypatch.setattr(RclLibrary, "post_arrivals", unsupported)
    camera, receiver = Camera(graph), receive(ReceiveMode.AUTO)
    assert receiver.receiver.mode_in_force == ReceiveMode.RCL
    receiver.receiver.add("front", "image", RELIABLE)
    assert receiver.receiver.mode_in_force == ReceiveMode.RAW
    assert receiver.receiver.reason == "the middleware tells nothing of new messages"
    assert len(list(receiver.node.subscriptions)) == 1
    camera.wait_for_receiver()
    camera.send(3)
    graph.spin_until(lambda: receiver.frames, what="the frame")
    assert receiver.stamps() == [3]


def test_the_quick_way_is_taken_where_it_works(receive):
    receiver = receive(ReceiveMode.AUTO).receiver
    assert (receiver.mode_in_force, receiver.reason) == (ReceiveMode.RCL, "")


def test_a_key_has_one_topic(receive):
    receiver = receive(ReceiveMode.RCL).receiver
    receiver.add("front", "image", RELIABLE)
    with pytest.raises(ValueError, match="'front' has a topic already; remove it before 'other'"):
        receiver.add("front", "other", RELIABLE)


@MODES
def test_a_closed_receiver_takes_no_topic(receive, mode):
    receiver = receive(mode)
    receiver.receiver.add("front", "image", RELIABLE)
    receiver.receiver.close()
    receiver.receiver.close()
    assert list(receiver.node.subscriptions) == []
    with pytest.raises(ValueError, match="the receiver is closed; 'image' cannot be added"):
        receiver.receiver.add("front", "image", RELIABLE)


def threads_of_receivers():
    return [thread for thread in threading.enumerate() if thread.name == "frames"]


def test_the_thread_ends_when_the_context_shuts_down(graph):
    errors = []
    context = rclpy.context.Context()
    rclpy.init(args=[], context=context, domain_id=graph.domain)
    node = rclpy.create_node("short_lived", context=context)
    receiver = FrameReceiver(node, print, lambda key, error: errors.append(error))
    receiver.add("front", "image", RELIABLE)
    (thread,) = threads_of_receivers()
    rclpy.shutdown(context=context)
    thread.join(10.0)
    assert not thread.is_alive()
    receiver.close()
    node.destroy_node()
    assert errors == []


def test_a_node_may_be_destroyed_under_its_receiver(graph):
    errors = []
    camera, node = Camera(graph), graph.node("short_lived")
    receiver = FrameReceiver(node, print, lambda key, error: errors.append(error))
    receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    graph.executor.remove_node(node)
    node.destroy_node()
    camera.send(1)
    receiver.remove("front")
    receiver.close()
    assert (errors, threads_of_receivers()) == ([], [])


def test_topics_come_and_go_without_leaving_anything(graph, receive):
    camera, receiver = Camera(graph), receive(ReceiveMode.RCL)
    receiver.receiver.add("front", "image", RELIABLE)
    camera.wait_for_receiver()
    subscriptions = []
    for number in range(100):
        subscriptions.append(weakref.ref(next(iter(receiver.node.subscriptions))))
        camera.send(number)
        receiver.receiver.remove("front")
        receiver.receiver.add("front", "image", RELIABLE)
    # The thread may just be looking at the last one.
    graph.spin_until(
        lambda: gc.collect() >= 0 and all(there() is None for there in subscriptions),
        what="the end of all subscriptions that were removed",
    )
    receiver.frames.clear()
    assert len(threads_of_receivers()) == 1
    camera.wait_for_receiver()
    graph.spin_until(lambda: camera.send(101) or receiver.frames, what="a frame")


@pytest.mark.dds
@MODES
def test_the_frames_of_a_camera_in_another_process_arrive(graph, receive, mode):
    receiver = receive(mode)
    receiver.receiver.add("front", "/camera/image_raw", BEST_EFFORT)
    graph.start("jetson_detect.commands.scene_camera", "--ros-args", "-r", "__ns:=/camera")
    graph.spin_until(lambda: len(receiver.frames) >= 3, what="three frames")
    stamps = [(header.sec, header.nanosec) for header, _ in map(read_image, frames_of(receiver))]
    assert stamps == sorted(set(stamps))
    assert {type(frame) for frame in frames_of(receiver)} == {
        ReceivedImage if mode == ReceiveMode.RCL else np.ndarray
    }


def frames_of(receiver):
    return [frame for _, frame in receiver.frames]
