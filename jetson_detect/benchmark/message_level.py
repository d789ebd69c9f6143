"""Publishing detections: as message objects, and as this package does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.cost_ratios import compare_costs
from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import CostRow
from jetson_detect.benchmark.session import Session
from jetson_detect.benchmark.turns import cpu_costs_us
from jetson_detect.benchmark.workload import USUAL_WORKLOAD
from jetson_detect.commands.child_processes import Children
from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections
from jetson_detect.nodes.entry import ros_executor

NAME = "message"
OBJECTS, OURS = "message objects", "ours"
_PICTURE = (1920, 1080)
_FRAME_ID = "camera"
_POLL_S = 0.05
_START_S = 60.0
_DEPTH = 10
_BURST = 8
"""Fewer than are kept: of more, some would be replaced before they are sent."""


@dataclass(frozen=True)
class MessageLevel:
    """What is published."""

    detections: tuple[int, ...] = (1, 10, 17, 100, 300)


def measure_messages(level: MessageLevel, repeats: Repeats, session: Session) -> Section:
    """Publish detections to a subscriber in another process, both ways in turns.

    Raises
    ------
    ChildError
        If the subscriber fails.

    """
    task = NodeTask("message", session.folder / "listener.stages")
    (topic,) = task.answer_topics
    costs: list[CostRow] = []
    with (
        Children(session.folder, session.environment) as children,
        ros_executor([]) as executor,
    ):
        listener = children.start(
            "listener", "jetson_detect.benchmark.nodes.listener_node", task.to_argument()
        )
        node = Node("publisher", context=executor.context, start_parameter_services=False)
        publisher = node.create_publisher(Detection2DArray, topic, _DEPTH)
        deadline = time.monotonic() + _START_S
        while not publisher.get_subscription_count():
            if listener.status is not None:
                raise listener.failure(f"has ended with status {listener.status}")
            if time.monotonic() > deadline:
                raise listener.failure(f"has not subscribed to {topic} within {_START_S:g} s")
            time.sleep(_POLL_S)
        for count in level.detections:
            found = draw_detections(count)
            acts = _acts(publisher, found, USUAL_WORKLOAD.labels)
            case = f"{count} detection{'s' if count > 1 else ''}"
            for way, rounds in cpu_costs_us(acts, repeats, _BURST).items():
                costs.append(CostRow(case, way, "µs CPU", rounds))
        node.destroy_node()
    return Section(
        NAME,
        "detections to a message that is published, with a subscriber in another process",
        costs=tuple(costs),
        ratios=compare_costs(NAME, costs, OURS),
    )


def draw_detections(count: int) -> Detections:
    """Make up so many detections, best first, in pixels of a 1080p picture."""
    random = np.random.default_rng(count)
    corners = random.uniform(0, 0.5, (count, 2)) * _PICTURE
    extents = random.uniform(0.01, 0.4, (count, 2)) * _PICTURE
    return Detections.from_best(
        np.concatenate([corners, corners + extents], axis=1).astype(np.float32),
        np.sort(random.uniform(0.25, 0.99, count).astype(np.float32))[::-1],
        random.integers(0, USUAL_WORKLOAD.classes, count).astype(np.int32),
    )


def _acts(
    publisher: Publisher, found: Detections, labels: tuple[str, ...]
) -> dict[str, Callable[[], object]]:
    header = FrameHeader(1, 2, _FRAME_ID)
    write = DetectionWriter(labels)
    message_header = header.to_message()
    return {
        OBJECTS: lambda: publisher.publish(
            to_detection_array(found, message_header, labels, ClassIdFormat.LABEL)
        ),
        OURS: lambda: publisher.publish(bytes(write(found, header, ClassIdFormat.LABEL))),
    }
