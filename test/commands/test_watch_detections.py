"""The observer's command line."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.bags.reader import BagReader
from jetson_detect.commands.watch_detections import main
from jetson_detect.conversion.detections import to_detection_array
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.conversion.labels import to_label_info
from jetson_detect.core.detections import Detections
from jetson_detect.nodes.qos import LATCHED, RELIABLE

WATCH = "jetson_detect.commands.watch_detections"
LABELS = ["ball", "cup"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save-frames", "x"], "--save-frames needs --image"),
        (["--min-map50", "0.5"], "--min-map50 needs --ground-truth"),
        (["--frames", "0"], "'0' is below 1"),
        (["--idle-timeout", "soon"], "'soon' is not a number"),
    ],
)
def test_wrong_arguments_are_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_without_pycocotools_a_watch_with_ground_truth_ends_at_start_and_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pycocotools", "pycocotools.coco", "pycocotools.cocoeval"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    assert main(["--ground-truth", "/camera/ground_truth"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("watch_detections: comparing with ground truth needs pycocotools (")
    assert line.endswith("; pip install pycocotools, or apt-get install python3-pycocotools")


class Source:
    """A detector and a camera that agree."""

    def __init__(self, graph: Any, found: Callable[[int], Detections]) -> None:
        self.graph, self.found = graph, found
        self.node = graph.node("source")
        self.images = self.node.create_publisher(Image, "/camera/image_raw", RELIABLE)
        self.truths = self.node.create_publisher(Detection2DArray, "/camera/ground_truth", RELIABLE)
        self.answers = self.node.create_publisher(Detection2DArray, "/camera/detections", RELIABLE)
        self.labels = self.node.create_publisher(LabelInfo, "/camera/label_info", LATCHED)
        self.labels.publish(to_label_info(Header(), LABELS, 0.5))
        self.write = ImageWriter()
        self.sent = self.first_truth = 0

    def send(self) -> None:
        header = Header(stamp=self.node.get_clock().now().to_msg())
        truth = objects_at(30)
        self.images.publish(self.write(np.zeros((80, 120, 3), np.uint8), header))
        if self.sent >= self.first_truth:
            self.truths.publish(to_detection_array(truth, header, LABELS))
        self.answers.publish(to_detection_array(self.found(self.sent), header, LABELS))
        self.sent += 1

    def run_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Send frames, once somebody listens, until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self.graph.processes[-1].output
            if self.answers.get_subscription_count():
                self.send()
            self.graph.executor.spin_once(timeout_sec=0.02)


def objects_at(*lefts: float) -> Detections:
    count = len(lefts)
    boxes = np.array([(left, 10, left + 20, 40) for left in lefts], np.float32).reshape(-1, 4)
    return Detections.from_best(boxes, np.ones(count, np.float32), np.ones(count, np.int32))


def found_all(number: int) -> Detections:
    return objects_at(30)


def found_nothing(number: int) -> Detections:
    return objects_at()


@pytest.mark.dds
def test_a_watch_counts_compares_saves_records_and_reports(graph: Any, tmp_path: Path) -> None:
    source = Source(graph, found_all)
    process = graph.start(
        WATCH,
        *("--frames", 40, "--ground-truth", "/camera/ground_truth", "--min-map50", 0.9),
        *("--image", "/camera/image_raw", "--save-frames", tmp_path / "frames", "--save-every", 5),
        *("--output", tmp_path / "bag", "--report", tmp_path / "report.json"),
    )
    source.run_until(lambda: process.popen.poll() is not None)
    assert process.wait() == 0, process.output
    assert "mAP50 1.000" in process.output
    assert "annotated frames in" in process.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] >= 40
    assert report["detections_by_class"] == {"cup": report["frames"]}
    assert report["map50"] == pytest.approx(1.0)
    assert report["problems"] == []
    assert 0.0 < report["latency_p50_ms"] < 10_000.0
    # Of every fifth; the images may be heard some frames later than the answers.
    assert len(list((tmp_path / "frames").glob("frame_*.jpg"))) >= 3
    with BagReader(tmp_path / "bag") as bag:
        counts = {topic.name: topic.count for topic in bag.topics.values()}
    assert counts["/camera/detections"] >= 40
    assert counts["/camera/label_info"] == 1


@pytest.mark.dds
def test_too_low_an_accuracy_fails_with_the_figures(graph: Any, tmp_path: Path) -> None:
    source = Source(graph, found_nothing)
    report = tmp_path / "report.json"
    process = graph.start(
        WATCH,
        *("--frames", 5, "--ground-truth", "/camera/ground_truth", "--min-map50", 0.9),
        *("--report", report),
    )
    source.run_until(lambda: process.popen.poll() is not None)
    message = "mAP50 is 0.000, at least 0.9 is required"
    assert process.wait() == 1
    assert f"watch_detections: {message}" in process.output
    assert json.loads(report.read_text())["problems"] == [message]


@pytest.mark.dds
def test_a_watch_of_so_many_frames_ends_though_the_truth_of_the_first_never_came(
    graph: Any,
) -> None:
    source = Source(graph, found_all)
    source.first_truth = 3
    process = graph.start(WATCH, "--frames", 5, "--ground-truth", "/camera/ground_truth")
    source.run_until(lambda: process.popen.poll() is not None)  # answers do not stop coming
    assert process.wait() == 0


@pytest.mark.dds
def test_a_watch_to_which_nothing_comes_fails_and_says_what_may_be_wrong(graph: Any) -> None:
    process = graph.start(WATCH, "--detections", "/eye/detections", "--idle-timeout", 0.3)
    assert process.wait() == 1
    assert (
        "watch_detections: nothing came on /eye/detections: it has no publisher; is the detector "
        f"running and active, in this ROS_DOMAIN_ID ({graph.domain}), and is the topic right?"
    ) in process.output


@pytest.mark.dds
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_watch_with_the_final_table(graph: Any, number: signal.Signals) -> None:
    source = Source(graph, found_all)
    process = graph.start(WATCH)
    source.run_until(lambda: " fps" in process.output and "cup" not in process.output)
    assert process.stop(number) == 0
    assert "class" in process.output
    assert "cup" in process.output
    assert "Traceback" not in process.output


@pytest.mark.dds
def test_a_bag_that_exists_is_not_replaced_unless_asked_for(graph: Any, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    process = graph.start(WATCH, "--output", tmp_path / "bag")
    assert process.wait() == 2
    assert f"watch_detections: {tmp_path}/bag: exists already" in process.output
    assert "Traceback" not in process.output
