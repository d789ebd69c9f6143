"""The replay command against a tiny detector, over DDS."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from jetson_detect.bags.frames import Frame, frames
from jetson_detect.bags.ledger import FrameLedger, ReplayReport
from jetson_detect.bags.loops import looped
from jetson_detect.bags.played_topics import Ending, PlayedCamera, Stamping
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.stamps import read_stamp
from jetson_detect.bags.writer import BagWriter
from jetson_detect.commands.replay.command import main
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.nodes.bag_player import BagPlayer, PlayerConfig

REPLAY = "jetson_detect.commands.replay"
IMAGE, DETECTIONS = "sensor_msgs/msg/Image", "vision_msgs/msg/Detection2DArray"
START = 1_700_000_000 * 10**9

dds = pytest.mark.dds


def detections_message(header: Header, *class_ids: str) -> Detection2DArray:
    message = Detection2DArray(header=header)
    for class_id in class_ids:
        detection = Detection2D(header=header)
        detection.bbox.size_x = detection.bbox.size_y = 10.0
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = class_id, 0.9
        detection.results.append(result)
        message.detections.append(detection)
    return message


def write_bag(
    path: Path,
    count: int,
    storage: str = "mcap",
    size: tuple[int, int] = (64, 48),
    fps: float = 20.0,
    topics: Iterable[str] = ("/camera/image_raw",),
) -> Path:
    """Write numbered grey images, with a ground truth of the same stamp recorded later."""
    to_message = ImageWriter()
    with BagWriter(path, storage) as bag:
        for topic in topics:
            bag.add_topic(topic, IMAGE)
        bag.add_topic("/camera/ground_truth", DETECTIONS)
        for number in range(count):
            stamp = START + round(number * 1e9 / fps)
            header = Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9))
            header.frame_id = f"camera {number}"
            picture = np.full((size[1], size[0], 3), number % 256, np.uint8)
            for topic in topics:
                bag.write(topic, stamp, serialize_message(to_message(picture, header)))
            truth = detections_message(header, "ball")
            bag.write("/camera/ground_truth", stamp + 3_000_000, serialize_message(truth))
    return path


class TinyDetector:
    """Answers each image with a ball, on even frames with a box too."""

    def __init__(
        self,
        graph: Any,
        topic: str = "/camera/image_raw",
        times: Callable[[int], int] = lambda number: 1,
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    ) -> None:
        """``times`` tells how often the image of a number is answered."""
        self.numbers: list[int] = []
        self.stamps: list[int] = []
        self.received: list[float] = []
        self.truths: list[int] = []
        self._times = times
        node = graph.node(topic.strip("/").replace("/", "_"))
        self.publisher = node.create_publisher(
            Detection2DArray, topic.rpartition("/")[0] + "/detections", 10
        )
        quality = QoSProfile(
            depth=10, reliability=ReliabilityPolicy.BEST_EFFORT, durability=durability
        )
        node.create_subscription(Image, topic, self._detect, quality)
        node.create_subscription(
            Detection2DArray, topic.rpartition("/")[0] + "/ground_truth", self._keep, 10
        )

    def _detect(self, image: Image) -> None:
        number = int(image.header.frame_id.split()[1])
        assert image.data[0] == image.data[-1] == number % 256
        self.numbers.append(number)
        self.received.append(time.monotonic())
        self.stamps.append(image.header.stamp.sec * 10**9 + image.header.stamp.nanosec)
        classes = ("ball", "box") if number % 2 == 0 else ("ball",)
        for _ in range(self._times(number)):
            self.publisher.publish(detections_message(image.header, *classes))

    def _keep(self, truth: Detection2DArray) -> None:
        self.truths.append(truth.header.stamp.sec * 10**9 + truth.header.stamp.nanosec)


class Replayed(NamedTuple):
    """What became of the command."""

    status: int
    output: str


def replay(graph: Any, *arguments: object) -> Replayed:
    """Run the command to its end, in this process: a new one would take a second to start."""
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            graph.executor.spin_once(timeout_sec=0.01)

    printed = io.StringIO()
    server = threading.Thread(target=serve)
    server.start()
    try:
        with (
            pytest.MonkeyPatch.context() as patched,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            for name in ("ROS_DOMAIN_ID", "ROS_LOG_DIR"):
                patched.setenv(name, graph.environment[name])
            status = main([str(argument) for argument in arguments])
    finally:
        done.set()
        server.join()
    assert "Traceback" not in printed.getvalue()
    return Replayed(status, printed.getvalue())


@dds
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_in_lock_step_no_frame_is_lost_and_the_answers_are_kept(graph, tmp_path, storage):
    bag = write_bag(tmp_path / "bag", 20, storage, size=(640, 480))
    detector = TinyDetector(graph)
    replayed = replay(
        graph, bag, "--lock-step", "--also", "/camera/ground_truth", "--report",
        tmp_path / "report.json", "--output", tmp_path / "answers", "--storage", storage,
    )  # fmt: skip
    assert replayed.status == 0, replayed.output

    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["sent"], report["answered"], report["lost"]) == (20, 20, [])
    assert (report["mode"], report["ending"]) == ("lock-step", "finished")
    assert report["detections_by_class"] == {"ball": 20, "box": 10}
    assert 0 < report["latency_p50_ms"] <= report["latency_p99_ms"] <= report["latency_max_ms"]
    assert report["fps"] > 5
    assert "answered: 20" in replayed.output.splitlines()
    assert "detections: 30 (ball 20, box 10)" in replayed.output.splitlines()

    assert sorted(set(detector.numbers)) == list(range(20))
    assert sorted(set(detector.truths)) == sorted(set(detector.stamps))
    with BagReader(tmp_path / "answers") as answers:
        kept = list(answers.messages())
    assert [one.topic for one in kept] == ["/camera/detections"] * 20
    assert [read_stamp(one.data) for one in kept] == [one.timestamp for one in kept]
    assert [one.timestamp for one in kept] == sorted(set(detector.stamps))
    counts = [len(deserialize_message(one.data, Detection2DArray).detections) for one in kept]
    assert counts == [2, 1] * 10


@dds
def test_a_frame_without_answer_is_named_and_the_replay_goes_on(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 12, fps=10)
    TinyDetector(graph, times=lambda number: number not in (5, 7))
    replayed = replay(graph, bag, "--lock-step", "--timeout", 0.5, "--report", tmp_path / "r.json")
    assert replayed.status == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["sent"], report["answered"], report["exit_status"]) == (12, 10, 1)
    topic = "/camera/image_raw"
    assert report["lost"] == [
        {"topic": topic, "frame": 5, "stamp": "1700000000.500000000"},
        {"topic": topic, "frame": 7, "stamp": "1700000000.700000000"},
    ]
    expected = "no answer to frame 5 of /camera/image_raw, stamp 1700000000.500000000"
    assert expected in replayed.output
    assert "lost frame: 7 of /camera/image_raw, stamp 1700000000.700000000" in replayed.output


@dds
def test_three_frames_without_answer_in_a_row_end_the_replay(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 50)
    TinyDetector(graph, times=lambda number: number < 4)
    replayed = replay(graph, bag, "--lock-step", "--timeout", 0.5, "--report", tmp_path / "r.json")
    assert replayed.status == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert [frame["frame"] for frame in report["lost"]] == [4, 5, 6]
    assert (report["sent"], report["ending"]) == (7, "too_many_lost")
    assert "3 frames in a row were not answered" in replayed.output


@dds
def test_the_first_frame_of_each_topic_alone_is_sent_until_it_is_answered(graph, tmp_path):
    topics = ("/front/image_raw", "/rear/image_raw")
    bag = write_bag(tmp_path / "bag", 5, topics=topics)
    answered_on = dict.fromkeys(topics, 0)

    def second_time_only(topic: str) -> Callable[[int], int]:
        def times(number: int) -> int:
            answered_on[topic] += 1
            return int(answered_on[topic] >= 2)

        return times

    detectors = [TinyDetector(graph, topic, second_time_only(topic)) for topic in topics]
    replayed = replay(graph, bag, "--lock-step", "--report", tmp_path / "r.json")
    assert replayed.status == 0, replayed.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["sent"], report["answered"]) == (10, 10)
    assert report["resent"] >= 2
    for detector in detectors:
        first, *rest = detector.numbers
        while rest[0] == first:
            rest.pop(0)
        assert (first, rest) == (0, [1, 2, 3, 4])


@dds
def test_surplus_answers_are_counted(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 10)
    TinyDetector(graph, times=lambda number: 2 if 0 < number < 6 else 1)
    replayed = replay(graph, bag, "--lock-step", "--report", tmp_path / "r.json")
    assert replayed.status == 0
    assert json.loads((tmp_path / "r.json").read_text())["duplicates"] == 5
    assert "duplicate answers: 5" in replayed.output


@dds
def test_a_timed_replay_keeps_the_spacing_divided_by_the_rate(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 40, fps=20)
    detector = TinyDetector(graph)
    replayed = replay(graph, bag, "--rate", 4, "--report", tmp_path / "r.json")
    assert replayed.status == 0, replayed.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["sent"], report["mode"], report["rate"]) == (40, "timed", 4.0)
    assert report["answered"] >= 30  # of a process that may have to wait for the processor
    assert detector.numbers == sorted(detector.numbers)
    first = len(detector.numbers) - detector.numbers[::-1].index(0) - 1  # sent until answered
    span = detector.received[-1] - detector.received[first]
    recorded = (detector.stamps[-1] - detector.stamps[first]) / 1e9
    assert recorded / 4 - 0.1 < span < recorded / 4 + 1.0
    gaps = np.diff(detector.received[first:])[np.diff(detector.numbers[first:]) == 1]
    assert 0.5 < np.median(gaps) / (0.05 / 4) < 2.0


@dds
def test_stamps_can_be_those_of_publishing_in_images_and_companions_alike(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 10)
    detector = TinyDetector(graph)
    before = time.time_ns()
    replayed = replay(
        graph, bag, "--lock-step", "--stamp", "now", "--also", "/camera/ground_truth",
        "--output", tmp_path / "answers",
    )  # fmt: skip
    assert replayed.status == 0, replayed.output
    assert all(before < stamp < time.time_ns() for stamp in detector.stamps)
    assert all(earlier <= later for earlier, later in pairwise(detector.stamps))
    assert len(set(detector.stamps)) == 10
    assert set(detector.truths) == set(detector.stamps)
    with BagReader(tmp_path / "answers") as answers:
        assert [one.timestamp for one in answers.messages()] == sorted(set(detector.stamps))


@dds
def test_topics_can_be_renamed_and_chosen_and_the_number_limited(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 9, topics=("/front/image_raw", "/rear/image_raw"))
    detector = TinyDetector(graph, "/camera/image_raw")
    replayed = replay(
        graph, bag, "--lock-step", "--topics", "/rear/image_raw", "--limit", 4,
        "--remap", "/rear/image_raw:=/camera/image_raw", "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert replayed.status == 0, replayed.output
    assert sorted(set(detector.numbers)) == [0, 1, 2, 3]
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["topics"] == {"/camera/image_raw": "/camera/detections"}


@dds
def test_each_limit_is_judged_for_answers_of_a_node_as_well(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 8)
    TinyDetector(graph)
    golden = tmp_path / "golden"
    replayed = replay(graph, bag, "--lock-step", "--compare", golden, "--update-golden")
    assert replayed.status == 0, replayed.output
    replayed = replay(
        graph, bag, "--lock-step", "--loop", 2, "--compare", golden,
        "--truth", "/camera/ground_truth", "--max-latency-ms-p99", 0,
    )  # fmt: skip
    assert replayed.status == 1
    assert (
        "beside the golden: /camera/image_raw: 16 frames, 24 objects: 24 found" in replayed.output
    )
    # An answer has two objects in even frames, the truth one.
    assert "beside the truth: /camera/image_raw: 16 frames, 16 objects" in replayed.output
    assert "max_latency_ms_p99 of /camera/image_raw: " in replayed.output
    assert "limits kept: 7 of 8" in replayed.output


@dds
def test_without_a_subscriber_the_message_tells_what_to_look_at(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 3)
    replayed = replay(graph, bag, "--lock-step", "--startup-timeout", 0.5)
    assert replayed.status == 1
    assert "nobody subscribed to /camera/image_raw within 0.5 s" in replayed.output
    assert f"ROS_DOMAIN_ID is {graph.domain}" in replayed.output
    assert "--remap /camera/image_raw:=/other" in replayed.output


def play_here(
    graph: Any, bag: Path, loops: int = 1, **settings: Any
) -> tuple[BagPlayer, Ending, ReplayReport]:
    """Play a bag in this process, where discovery takes no time."""
    camera = PlayedCamera("/camera/image_raw", "/camera/image_raw", IMAGE, "/camera/detections")
    ledger = FrameLedger()
    player = BagPlayer(PlayerConfig((camera,), **settings), ledger, context=graph.context)
    graph.executor.add_node(player)
    with BagReader(bag) as reader:

        def one_pass() -> Iterator[Frame]:
            return frames(reader.messages([camera.recorded]), [camera.recorded])

        ending = player.play(looped(one_pass, loops))
    return player, ending, ledger.report(player.names.names)


@dds
def test_a_subscriber_of_other_quality_of_service_is_named(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 3)
    TinyDetector(graph, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    player, ending, report = play_here(graph, bag, startup_timeout_s=0.3)
    assert (ending, report.sent) == (Ending.NO_SUBSCRIBER, 0)
    expected = "camera_image_raw (sensor_msgs/msg/Image, best_effort, transient_local)"
    assert expected in player.problem


@dds
@pytest.mark.parametrize("rate", [None, 1.0])
def test_a_detector_that_never_answers_ends_the_replay_at_the_first_frame(graph, tmp_path, rate):
    bag = write_bag(tmp_path / "bag", 3)
    detector = TinyDetector(graph, times=lambda number: 0)
    player, ending, report = play_here(graph, bag, startup_timeout_s=0.8, rate=rate)
    assert (ending, report.sent, report.resent) == (Ending.NO_FIRST_ANSWER, 1, 1)
    assert detector.numbers == [0, 0]
    assert "no answer on /camera/detections to the first frame" in player.problem
    assert "does it copy the header" in player.problem


@dds
def test_a_timed_replay_does_not_fail_for_frames_that_are_passed_over(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 10, fps=100)
    TinyDetector(graph, times=lambda number: number % 3 == 0)
    _, ending, report = play_here(graph, bag, timeout_s=0.3)
    assert ending is Ending.FINISHED
    assert [frame.number for frame in report.lost] == [1, 2, 4, 5, 7, 8]


STEP = 50_000_000
"""Between two frames of :func:`write_bag`, nanoseconds."""


def without_repeats(numbers: list[int]) -> list[int]:
    """Leave out what is the same as the one before: the first frame may be sent again."""
    return [each for each, before in zip(numbers, [None, *numbers]) if each != before]


@dds
@pytest.mark.parametrize(
    ("stamping", "second_pass"), [(Stamping.ORIGINAL, 0), (Stamping.SHIFTED, 4 * STEP)]
)
def test_a_bag_that_is_played_again_has_its_own_stamps_or_later_ones(
    graph, tmp_path, stamping, second_pass
):
    bag = write_bag(tmp_path / "bag", 4)
    detector = TinyDetector(graph)
    _, ending, report = play_here(graph, bag, loops=2, rate=None, stamping=stamping)
    assert (ending, report.sent, report.answered) == (Ending.FINISHED, 8, 8)
    assert without_repeats(detector.numbers) == [0, 1, 2, 3] * 2
    first = [START + number * STEP for number in range(4)]
    assert without_repeats(detector.stamps) == [*first, *(each + second_pass for each in first)]


def hear_clock(graph: Any) -> list[int]:
    """Subscribe to the clock; returns the list that its times go to, nanoseconds."""
    times: list[int] = []
    node = graph.node("clock_listener")
    node.create_subscription(
        Clock, "/clock", lambda one: times.append(one.clock.sec * 10**9 + one.clock.nanosec), 1000
    )
    return times


@dds
def test_in_lock_step_the_clock_shows_the_time_of_each_frame_and_nothing_else(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 4)
    TinyDetector(graph)
    times = hear_clock(graph)
    play_here(graph, bag, loops=2, rate=None, clock_hz=100.0)
    graph.spin_until(lambda: times and times[-1] == START + 3 * STEP, what="the last time")
    # Discovery may have cost the first ones, not the second pass.
    assert without_repeats(times)[-4:] == [START + number * STEP for number in range(4)]
    assert {(each - START) % STEP for each in times} == {0}


@dds
@pytest.mark.parametrize("stamping", [Stamping.ORIGINAL, Stamping.SHIFTED])
def test_by_the_clock_time_runs_and_goes_back_only_with_the_stamps(graph, tmp_path, stamping):
    bag = write_bag(tmp_path / "bag", 12)
    TinyDetector(graph)
    times = hear_clock(graph)
    start = time.monotonic()
    play_here(graph, bag, loops=2, rate=2.0, clock_hz=200.0, stamping=stamping, timeout_s=0.1)

    def jumps_back() -> list[int]:
        return [later - earlier for earlier, later in pairwise(times) if later < earlier]

    last = START + (11 if stamping is Stamping.ORIGINAL else 23) * STEP
    jumps_expected = int(stamping is Stamping.ORIGINAL)
    graph.spin_until(
        lambda: len(jumps_back()) >= jumps_expected and times and times[-1] >= last,
        what="the time of the last frame",
    )
    took_ns = (time.monotonic() - start) * 1e9
    jumps = jumps_back()
    if stamping is Stamping.ORIGINAL:
        assert len(jumps) == 1
        assert jumps[0] >= -12 * STEP
    else:
        assert jumps == []
    assert times[0] >= START
    assert max(times) - START <= 2 * took_ns
    # Between frames too: there are more times than frames, and others than theirs.
    assert len(set(times)) > 24
    assert {(each - START) % STEP for each in times} != {0}


@dds
@pytest.mark.parametrize(
    ("sent", "status", "pace"),
    [(signal.SIGINT, 130, ["--lock-step", "--timeout", 60]), (signal.SIGTERM, 143, [])],
)
def test_a_signal_ends_it_with_report_and_bag_of_what_came(graph, tmp_path, sent, status, pace):
    bag = write_bag(tmp_path / "bag", 400)
    detector = TinyDetector(graph, times=lambda number: number < 8)
    process = graph.start(
        REPLAY, bag, *pace, "--output", tmp_path / "answers", "--report", tmp_path / "r.json"
    )
    graph.spin_until(lambda: 8 in detector.numbers, what="the frame that is not answered")
    assert process.stop(sent) == status, process.output
    assert "Traceback" not in process.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["ending"], report["exit_status"], report["lost"]) == ("stopped", status, [])
    with BagReader(tmp_path / "answers") as answers:
        assert sum(1 for _ in answers.messages()) == report["answered"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "bag", "log", "r.json"]


@dds
def test_it_lingers_after_its_report_until_a_signal_which_is_then_no_failure(graph, tmp_path):
    bag = write_bag(tmp_path / "bag", 3)
    TinyDetector(graph)
    report = tmp_path / "r.json"
    process = graph.start(REPLAY, bag, "--lock-step", "--linger", 60, "--report", report)
    graph.spin_until(report.is_file, what="the report")
    assert json.loads(report.read_text())["ending"] == "finished"
    assert process.popen.poll() is None
    assert process.stop(signal.SIGINT) == 0
    assert "Traceback" not in process.output


@dds
def test_while_waiting_it_is_in_the_graph_by_its_ros_arguments_and_a_signal_ends_it(
    graph, tmp_path
):
    bag = write_bag(tmp_path / "bag", 3)
    observer = graph.node()
    process = graph.start(REPLAY, "--ros-args", "-r", "__node:=player", "--", bag)
    graph.spin_until(lambda: "player" in observer.get_node_names(), what="the node")
    start = time.monotonic()
    assert process.stop(signal.SIGINT) == 130
    assert time.monotonic() - start < 5.0
    assert "Traceback" not in process.output


def fails(capsys: Any, *arguments: object) -> str:
    """Run the command in this process; returns what it says, which must be an error."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_a_bag_without_images_is_answered_with_the_topics_that_it_has(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", 2, topics=())
    message = fails(capsys, bag)
    assert message.startswith(f"replay: {bag}: has no topic of type sensor_msgs/msg/Image")
    assert "/camera/ground_truth  vision_msgs/msg/Detection2DArray  2 messages" in message


def test_arguments_that_do_not_fit_the_bag_are_refused(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", 2, topics=("/camera/image_raw", "/camera/image_rect"))
    image, truth = "/camera/image_raw", "/camera/ground_truth"
    for arguments, expected in (
        (["--topics", "/nowhere"], "has no topic /nowhere (--topics)"),
        (["--also", "/nowhere"], "has no topic /nowhere (--also)"),
        (["--remap", "/nowhere:=/there"], "has no topic /nowhere (--remap)"),
        (["--also", image], "is an image topic already"),
        (["--remap", f"{truth}:=/there"], "is not published; add it"),
        ([], "/camera/detections would be used for more than one thing"),
        (["--detections", "/d"], "names 1 topics for 2 image topics"),
        (["--topics", image, "--report", tmp_path / "no" / "r.json"], "folder does not exist"),
        (["--topics", image, "--output", bag], "exists already; --force replaces it"),
        (["--topics", image, "--output", tmp_path, "--force"], "is no bag"),
    ):
        assert expected in fails(capsys, bag, *arguments)
    assert "no such bag" in fails(capsys, tmp_path / "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "0"], ["--rate", "2", "--lock-step"], ["--remap", "a:=b"], ["--limit", "-1"]],
)
def test_arguments_that_make_no_sense_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["bag", *arguments])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_help_does_not_load_ros(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rclpy", None)
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "--lock-step" in capsys.readouterr().out
