"""What the observer makes of what it hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.writer import BagWriter
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.conversion.images import ImageWriter, pixels_from_image
from jetson_detect.conversion.labels import to_label_info
from jetson_detect.core.detections import Detections
from jetson_detect.core.frame_saving import FrameSaver
from jetson_detect.core.watch_log import WatchLog
from jetson_detect.nodes.detection_watcher import DetectionWatcher, WatchTopics
from jetson_detect.nodes.qos import LATCHED, RELIABLE

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def boxes_at(*lefts: float, class_id: int = 0, score: float = 0.9) -> Detections:
    count = len(lefts)
    boxes = np.array([(left, 10, left + 20, 40) for left in lefts], np.float32).reshape(-1, 4)
    return Detections.from_best(
        boxes, np.full(count, score, np.float32), np.full(count, class_id, np.int32)
    )


def header(stamp_ns: int) -> Header:
    seconds, nanoseconds = divmod(stamp_ns, SECOND)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id="camera")


@pytest.mark.dds
def test_the_node_counts_compares_saves_and_records_what_comes(graph: Any, tmp_path: Path) -> None:
    labels = ["ball", "cup"]
    source = graph.node("source")
    log = WatchLog(with_truth=True, with_images=True)
    saver = FrameSaver(tmp_path / "frames", pixels_from_image, every=2)
    with BagWriter(tmp_path / "bag") as bag:
        watcher = DetectionWatcher(
            WatchTopics("detections", "label_info", "ground_truth", "image_raw"),
            log,
            saver,
            bag,
            context=graph.context,
            namespace="/camera",
        )
        graph.executor.add_node(watcher)
        answers = source.create_publisher(Detection2DArray, "/camera/detections", RELIABLE)
        truths = source.create_publisher(Detection2DArray, "/camera/ground_truth", RELIABLE)
        images = source.create_publisher(Image, "/camera/image_raw", RELIABLE)
        source.create_publisher(LabelInfo, "/camera/label_info", LATCHED).publish(
            to_label_info(Header(), labels, 0.5)
        )
        publishers = (answers, truths, images)
        graph.spin_until(
            lambda: (
                watcher.labels_known and all(each.get_subscription_count() for each in publishers)
            ),
            what="discovery",
        )
        write = ImageWriter()
        for number in range(4):
            at = header(NOW + number)
            found = boxes_at(10.0 * number, class_id=1)
            # By index here, by label there: it is the same class.
            answers.publish(to_detection_array(found, at, labels, ClassIdFormat.INDEX))
            images.publish(write(np.zeros((80, 120, 3), np.uint8), at))
            truths.publish(to_detection_array(found, at, labels))
        graph.spin_until(lambda: log.frames == 4 and log.uncompared == 0, what="the answers")
        graph.spin_until(lambda: not log.remaining_images(), what="the images")
        watcher.destroy_node()
    saver.close()
    summary = log.summary(final=True)
    assert summary.frames == summary.compared == 4
    assert summary.by_class == {"cup": 4}
    assert summary.accuracy is not None
    assert summary.accuracy.map50 == pytest.approx(1.0)
    assert [path.name for path in saver.paths] == ["frame_000000.jpg", "frame_000002.jpg"]
    with BagReader(tmp_path / "bag") as recorded:
        counts = {topic.name: topic.count for topic in recorded.topics.values()}
    assert counts == {"/camera/detections": 4, "/camera/ground_truth": 4, "/camera/label_info": 1}


@pytest.mark.dds
def test_the_node_says_why_nothing_came(graph: Any) -> None:
    watcher = DetectionWatcher(WatchTopics("/eye/detections"), WatchLog(), context=graph.context)
    graph.executor.add_node(watcher)
    assert watcher.why_nothing_came() == (
        "nothing came on /eye/detections: it has no publisher; is the detector running and active, "
        f"in this ROS_DOMAIN_ID ({graph.domain}), and is the topic right?"
    )
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    source = graph.node("source")
    publisher = source.create_publisher(Detection2DArray, "/eye/detections", qos)
    graph.spin_until(lambda: watcher.count_publishers("/eye/detections"), what="the publisher")
    assert "published best effort" in watcher.why_nothing_came()
    assert "use --best-effort" in watcher.why_nothing_came()
    source.destroy_publisher(publisher)
    source.create_publisher(Detection2DArray, "/eye/detections", RELIABLE)
    graph.spin_until(
        lambda: "does the detector get images?" in watcher.why_nothing_came(), what="the hint"
    )
