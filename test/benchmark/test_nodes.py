"""The contestants over real DDS: a comparison is honest if all do the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.node_level import NodeLevel
from jetson_detect.benchmark.nodes.task import NodeWork
from jetson_detect.benchmark.running_node import RunningNode
from jetson_detect.benchmark.session import Session
from jetson_detect.benchmark.stage_clock import STAGES
from jetson_detect.benchmark.workload import Workload
from jetson_detect.commands.child_processes import ChildError

SIZE = (320, 240)
COMPARED = NodeLevel.contestants


@pytest.fixture
def session(graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    for name in ("ROS_DOMAIN_ID", "ROS_LOG_DIR"):
        monkeypatch.setenv(name, graph.environment[name])
    folder = tmp_path / "benchmark"
    folder.mkdir()
    return Session(graph.environment, folder)


def boxes(answer: bytes) -> list[tuple[float, ...]]:
    message = deserialize_message(answer, Detection2DArray)
    return [
        (
            each.bbox.center.position.x,
            each.bbox.center.position.y,
            each.bbox.size_x,
            each.bbox.size_y,
            each.results[0].hypothesis.score,
        )
        for each in message.detections
    ]


def classes(answer: bytes) -> list[str]:
    message = deserialize_message(answer, Detection2DArray)
    return [each.results[0].hypothesis.class_id for each in message.detections]


@pytest.mark.dds
def test_every_contestant_answers_each_frame_with_the_same_boxes(session: Session) -> None:
    work = NodeWork(workload=Workload(detections=5))
    with ExitStack() as stack:
        nodes = [stack.enter_context(RunningNode(each, session, SIZE, work)) for each in COMPARED]
        for node in nodes:
            node.wait_until_ready(2)
        for node in nodes:
            measured = node.measure(Drive(frames=5))
            assert (measured.sent, measured.answered) == (5, 5)
            assert measured.cpu_s > 0
            assert tuple(measured.stages_s) == STAGES
            assert sum(measured.stages_s.values()) == pytest.approx(measured.cpu_s)
            assert measured.stages_s["publish"] > 0
            assert 30 < node.rss_mb < 2000
        answers = [node.answer for node in nodes]
    assert classes(answers[0]) == [f"class {index}" for index in range(5)]
    for answer in answers[1:]:
        assert classes(answer) == classes(answers[0])
        np.testing.assert_allclose(boxes(answer), boxes(answers[0]), atol=1e-3)


@pytest.mark.dds
def test_frames_of_several_cameras_come_at_their_rate(session: Session) -> None:
    with RunningNode(Contestant.FLOOR, session, SIZE, NodeWork(cameras=2)) as node:
        node.wait_until_ready(1)
        measured = node.measure(Drive(frames=6, rate=20.0))
    assert measured.sent == 12
    assert measured.answered > 6
    # From the first frame to the last answer: five periods, and half a one for the second camera.
    assert measured.seconds > 0.2
    assert measured.stages_s == {}


@pytest.mark.dds
def test_a_node_that_dies_is_reported_with_its_log(session: Session) -> None:
    work = NodeWork(model="no/such/model", backend="tflite")
    ended = pytest.raises(ChildError, match=r"(?s)has ended with status 1.*no/such/model")
    with RunningNode(Contestant.OURS, session, SIZE, work) as node, ended:
        node.wait_until_ready(1)
