from __future__ import annotations

import ctypes

import pytest
from rclpy.exceptions import InvalidHandle
from std_msgs.msg import String

from jetson_detect.middleware.rcl_library import (
    RclError,
    RclLibrary,
    RclUnavailableError,
    load_rcl,
)


@pytest.fixture
def loaded_anew():
    load_rcl.cache_clear()
    yield
    load_rcl.cache_clear()


def test_the_library_is_the_one_that_rclpy_loaded():
    assert load_rcl() is load_rcl()


def test_a_library_that_is_not_loaded_is_named(loaded_anew, monkeypatch):
    def not_loaded(name: str, mode: int) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", not_loaded)
    with pytest.raises(RclUnavailableError, match=r"librcl\.so: cannot open shared object file"):
        load_rcl()


def ignore(message: String) -> None:
    """Take a message."""


def test_a_library_without_a_function_is_not_used():
    with pytest.raises(RclUnavailableError, match=r"librcl lacks a function: .*rcl_take"):
        RclLibrary(ctypes.CDLL(None))


def test_what_rcl_complains_of_is_told_and_forgotten(graph):
    subscription = graph.node().create_subscription(String, "text", ignore, 1)
    rcl = load_rcl()
    for _ in range(2):
        expected = r"taking a message failed \(11\): ros_message argument is null, at"
        with pytest.raises(RclError, match=expected):
            rcl.take(subscription, None)


def test_a_pointer_to_another_subscription_is_noticed(graph):
    node = graph.node()
    subscription = node.create_subscription(String, "text", ignore, 1)
    other = node.create_subscription(String, "other", ignore, 1)

    class Mixed:
        handle = subscription.handle
        topic_name = other.topic_name

    with pytest.raises(RclUnavailableError, match="sees topic b'/text' where rclpy has '/other'"):
        load_rcl().check_subscription(Mixed)


def test_a_handle_without_a_pointer_is_noticed(graph):
    subscription = graph.node().create_subscription(String, "text", ignore, 1)

    class Opaque:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *reasons: object) -> None:
            pass

    class Wrapped:
        handle = Opaque()
        topic_name = subscription.topic_name

    with pytest.raises(RclUnavailableError, match="does not tell where its handles point to"):
        load_rcl().check_subscription(Wrapped)


def test_nothing_is_taken_from_a_destroyed_subscription(graph):
    node = graph.node()
    subscription = node.create_subscription(String, "text", ignore, 1)
    node.destroy_subscription(subscription)
    with pytest.raises(InvalidHandle):
        load_rcl().take(subscription, 0)
