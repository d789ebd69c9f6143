"""The tracker node over real DDS."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from jetson_detect.core.tracking.associator import UNTRACKED, AssociationOptions
from jetson_detect.nodes.entry import StartError
from jetson_detect.nodes.parameters import ParameterError
from jetson_detect.nodes.tracker_node import TrackerNode

pytestmark = pytest.mark.dds

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FRAME_NS = 50_000_000


class ByPlace:
    """Objects in the same 100 pixels are one; what lies beyond 10,000 breaks it."""

    def __init__(self, options: AssociationOptions) -> None:
        self._strong_score = options.strong_score

    def update(self, boxes, scores):
        if (boxes > 10_000).any():
            raise RuntimeError("out of the world")
        return np.where(scores < self._strong_score, UNTRACKED, boxes[:, 0] // 100).astype(int)


def array(frame: float, *objects: tuple[float, str, float]) -> Detection2DArray:
    """Objects of 40 x 40 pixels, by x, class and score."""
    sec, nanosec = divmod(round(frame * FRAME_NS), 1_000_000_000)
    header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id="eye")
    message = Detection2DArray(header=header)
    for x, class_id, score in objects:
        detection = Detection2D(header=header)
        detection.bbox.center.position.x, detection.bbox.center.position.y = x + 20.0, 30.0
        detection.bbox.size_x = detection.bbox.size_y = 40.0
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = class_id, score
        detection.results.append(hypothesis)
        message.detections.append(detection)
    return message


class Bench:
    """A tracker node in this process, who feeds it and who listens to it."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.node: Any = None
        self.peer = graph.node("peer")
        self.diagnostics: list[DiagnosticStatus] = []
        self.heard: dict[str, list[Detection2DArray]] = {}
        self._publishers: dict[str, Any] = {}
        self.peer.create_subscription(
            DiagnosticArray, "/diagnostics", lambda m: self.diagnostics.extend(m.status), 10
        )

    def make(self, **parameters: Any) -> Any:
        given = {
            "algorithm": "places_for_tests:ByPlace",
            "min_hits": 1,
            "frame_rate": 20.0,
            "diagnostics_period_s": 0.1,
            **parameters,
        }
        self.node = TrackerNode(
            context=self.graph.context,
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        self.graph.executor.add_node(self.node)
        return self.node

    def start(self, *topics: tuple[str, str], **parameters: Any) -> Any:
        """Start the node, and talk to it on topics of detections and of tracks."""
        node = self.make(**parameters)
        node.start()
        for detections, tracks in topics or (("/detections", "/tracks"),):
            self.heard[tracks] = []
            self.peer.create_subscription(
                Detection2DArray, tracks, self.heard[tracks].append, QoSProfile(depth=100)
            )
            self._publishers[detections] = publisher = self.peer.create_publisher(
                Detection2DArray, detections, QoSProfile(depth=100)
            )
            self.graph.spin_until(
                lambda publisher=publisher, tracks=tracks: (
                    publisher.get_subscription_count() and self.peer.count_publishers(tracks)
                ),
                what="the tracker's topics",
            )
        return node

    def ask(
        self, message: Detection2DArray, detections: str = "/detections", tracks: str = "/tracks"
    ) -> Detection2DArray:
        """Send one array and return what becomes of it."""
        before = len(self.heard[tracks])
        self._publishers[detections].publish(message)
        self.graph.spin_until(lambda: len(self.heard[tracks]) > before, what="the answer")
        assert len(self.heard[tracks]) == before + 1
        return self.heard[tracks][-1]

    def close(self) -> None:
        if self.node is not None:
            self.graph.executor.remove_node(self.node)
            self.node.destroy_node()


@pytest.fixture
def bench(shared_graph: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    module = ModuleType("places_for_tests")
    vars(module)["ByPlace"] = ByPlace
    monkeypatch.setitem(sys.modules, "places_for_tests", module)
    bench = Bench(shared_graph)
    try:
        yield bench
    finally:
        bench.close()
        shared_graph.executor.remove_node(bench.peer)
        bench.peer.destroy_node()


def ids(message: Detection2DArray) -> list[str]:
    return [detection.id for detection in message.detections]


CUP, BALL, WEAK = (5.0, "cup", 0.9), (305.0, "ball", 0.8), (605.0, "cup", 0.1)


def test_an_answer_is_what_was_sent_with_ids(bench):
    bench.start(publish="all")
    for frame in range(3):
        sent = array(frame, WEAK, CUP, BALL)
        answer = bench.ask(sent)
        for detection, expected in zip(sent.detections, ("", "1", "2")):
            detection.id = expected
        assert answer == sent


def test_every_array_is_answered_with_its_header_also_empty_and_unstamped_ones(bench):
    bench.start()
    sent = [array(7), array(8, CUP), array(9), array(9), Detection2DArray(), array(0.5, CUP)]
    answers = [bench.ask(message) for message in sent]
    assert [each.header for each in answers] == [each.header for each in sent]
    assert [ids(each) for each in answers] == [[], ["1"], [], [], [], ["2"]]


def test_by_default_only_confirmed_tracks_are_published_and_that_can_be_changed(bench):
    node = bench.start(min_hits=2)
    assert ids(bench.ask(array(0, CUP, WEAK))) == []
    assert ids(bench.ask(array(1, CUP, WEAK))) == ["1"]
    assert node.set_parameters([Parameter("publish", value="all")])[0].successful
    assert ids(bench.ask(array(2, WEAK, BALL, CUP))) == ["", "", "1"]


def test_boxes_are_smoothed_while_that_is_asked_for(bench):
    node = bench.start()
    bench.ask(array(0, CUP))
    assert node.set_parameters([Parameter("smoothing", value=0.5)])[0].successful
    answer = bench.ask(array(1, (25.0, "cup", 0.9)))
    box = answer.detections[0].bbox
    assert (box.center.position.x, box.center.position.y) == (35.0, 30.0)
    assert (box.size_x, box.size_y) == (40.0, 40.0)


def test_each_topic_has_tracks_and_ids_of_its_own(bench):
    names = [("/front/detections", "/front/tracks"), ("/rear/detections", "/rear/tracks")]
    bench.start(*names, detection_topics=[each[0] for each in names])
    for frame in range(2):
        assert ids(bench.ask(array(frame, CUP, BALL), *names[0])) == ["1", "2"]
        assert ids(bench.ask(array(frame + 500, BALL), *names[1])) == ["1"]


def test_a_bag_that_begins_again_gets_new_ids(bench):
    bench.start()
    for loop, expected in enumerate((["1", "2"], ["3", "4"], ["5", "6"])):
        for frame in range(4):
            assert ids(bench.ask(array(100 + frame, CUP, BALL))) == expected, loop
    status: list[DiagnosticStatus] = bench.diagnostics
    status.clear()
    bench.graph.spin_until(lambda: status, what="diagnostics")
    values = {each.key: each.value for each in status[-1].values}
    assert values["/detections: resets"] == "2"
    assert values["/detections: frames"] == "12"
    assert (status[-1].level, status[-1].message) == (DiagnosticStatus.OK, "2 objects")


def test_a_frame_that_breaks_the_algorithm_is_answered_without_ids_and_the_next_with(bench):
    bench.start(publish="all")
    far = (20_000.0, "ball", 0.9)
    assert ids(bench.ask(array(0, CUP))) == ["1"]
    assert ids(bench.ask(array(1, CUP, far))) == ["", ""]
    assert ids(bench.ask(array(2, CUP))) == ["1"]
    status: list[DiagnosticStatus] = bench.diagnostics
    bench.graph.spin_until(
        lambda: status and status[-1].message.startswith("1 frames could not be tracked"),
        what="the warning",
    )


def test_each_topic_has_its_own_word_of_what_broke_and_says_it_once(bench, capfd):
    names = [("/front/detections", "/front/tracks"), ("/rear/detections", "/rear/tracks")]
    bench.start(*names, detection_topics=[each[0] for each in names])
    far = (20_000.0, "ball", 0.9)
    for frame in range(2):
        for topics in names:
            bench.ask(array(frame, far), *topics)
    said = [line for line in capfd.readouterr().err.splitlines() if "frame not tracked" in line]
    assert ["front" in line for line in said] == [True, False]
    assert ["rear" in line for line in said] == [False, True]


def test_a_best_effort_detector_is_heard_and_a_late_listener_of_the_status(bench):
    bench.start()
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = bench.peer.create_publisher(Detection2DArray, "/detections", best_effort)
    bench.graph.spin_until(publisher.get_subscription_count, what="the subscription")
    publisher.publish(array(3, CUP))
    bench.graph.spin_until(lambda: bench.heard["/tracks"], what="the answer")
    bench.graph.spin_until(
        lambda: any(each.level == DiagnosticStatus.OK for each in bench.diagnostics),
        what="a status that is fine",
    )
    late: list[DiagnosticStatus] = []
    bench.peer.create_subscription(DiagnosticStatus, "/tracker/status", late.append, LATCHED)
    bench.graph.spin_until(lambda: late, what="the latched status")
    assert (late[0].level, late[0].message) == (DiagnosticStatus.OK, "1 objects")


def test_deactivated_it_answers_nothing_and_goes_on_with_its_tracks(bench):
    node = bench.start()
    assert ids(bench.ask(array(0, CUP))) == ["1"]
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    bench.graph.spin_until(
        lambda: not bench.peer.count_subscribers("/detections"), what="the end of the subscription"
    )
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.graph.spin_until(
        lambda: bench.peer.count_subscribers("/detections"), what="the subscription"
    )
    bench.graph.spin_until(
        bench._publishers["/detections"].get_subscription_count, what="the match"
    )
    assert ids(bench.ask(array(1, CUP))) == ["1"]
    for trigger in (node.trigger_deactivate, node.trigger_cleanup):
        assert trigger() == TransitionCallbackReturn.SUCCESS
    assert "/tracks" not in dict(node.get_publisher_names_and_types_by_node("tracker", "/"))


@pytest.mark.parametrize(
    ("parameters", "change"),
    [({}, Parameter("max_age_s", value=2.0)), ({}, Parameter("publish", value="some"))],
    ids=["read at start only", "no such choice"],
)
def test_a_change_that_cannot_be_is_refused(bench, parameters, change):
    node = bench.make(**parameters)
    (result,) = node.set_parameters([change])
    assert not result.successful
    assert change.name in result.reason


def test_topics_that_are_one_by_their_whole_names_are_refused(bench, capfd):
    node = bench.make(detection_topics=["detections"], output_topics=["/detections"])
    with pytest.raises(StartError):
        node.start()
    assert "the tracker would hear itself on /detections" in capfd.readouterr().err


def test_topics_that_do_not_go_together_are_refused_at_the_start(bench):
    with pytest.raises(ParameterError, match="a/tracks would stand for two cameras"):
        bench.make(detection_topics=["a/x", "a/y"])


def test_a_tracker_without_its_library_does_not_start_and_says_how_to_get_it(
    graph: Any, tmp_path: Any
):
    (tmp_path / "trackforge.py").write_text("raise ImportError('taken away')")
    path = [str(tmp_path), graph.environment.get("PYTHONPATH", "")]
    graph.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    process = graph.start("jetson_detect.commands.tracker_node")
    assert process.wait() == 1
    assert "(ImportError: taken away); install it: pip install 'trackforge>=" in process.output
    assert "Traceback" not in process.output
