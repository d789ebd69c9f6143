from __future__ import annotations

import pytest
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from jetson_detect.middleware.serialized_publisher import SerializedPublisher

LATCHED = QoSProfile(
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_published_bytes_arrive_as_the_message(graph, kind):
    node = graph.node()
    publisher = SerializedPublisher(node.create_publisher(String, "text", LATCHED))
    received = []
    node.create_subscription(String, "text", received.append, LATCHED)
    for text in ("one", "two"):
        publisher.publish(kind(serialize_message(String(data=text))))
    graph.spin_until(lambda: len(received) == 2, what="both messages")
    assert [message.data for message in received] == ["one", "two"]


def test_a_buffer_may_change_once_it_is_published(graph):
    node = graph.node()
    publisher = SerializedPublisher(node.create_publisher(String, "text", LATCHED))
    buffer = bytearray(serialize_message(String(data="first")))
    publisher.publish(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    received = []
    node.create_subscription(String, "text", received.append, LATCHED)
    graph.spin_until(lambda: received, what="the message")
    assert received[0].data == "first"


def test_a_lifecycle_publisher_is_silent_until_it_is_activated(graph):
    node = LifecycleNode("managed", context=graph.context)
    graph.executor.add_node(node)
    managed = node.create_lifecycle_publisher(String, "text", LATCHED)
    publisher = SerializedPublisher(managed)
    received = []
    node.create_subscription(String, "text", received.append, LATCHED)
    publisher.publish(serialize_message(String(data="too early")))
    node.trigger_configure()
    node.trigger_activate()
    publisher.publish(serialize_message(String(data="in time")))
    node.trigger_deactivate()
    publisher.publish(serialize_message(String(data="too late")))
    node.trigger_activate()
    publisher.publish(serialize_message(String(data="last")))
    graph.spin_until(lambda: received and received[-1].data == "last", what="the last message")
    assert [message.data for message in received] == ["in time", "last"]
