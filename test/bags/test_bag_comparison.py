from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from jetson_detect.bags.bag_comparison import BagComparison
from jetson_detect.bags.errors import BagError
from jetson_detect.bags.ledger import SentFrame
from jetson_detect.bags.played_topics import DETECTIONS
from jetson_detect.bags.recorded_detections import RecordedDetections, read_detections
from jetson_detect.bags.writer import BagWriter
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections

LABELS = ["ball", "box"]


def found(*classes: int, x: float = 0.0) -> Detections:
    boxes = np.array([(x, 50 * place, x + 40, 50 * place + 40) for place in range(len(classes))])
    return Detections.from_best(
        boxes.astype(np.float32).reshape(-1, 4),
        np.full(len(classes), 0.5, np.float32),
        np.array(classes, np.int32),
    )


def message(detections, stamp_ns, class_id_format=ClassIdFormat.LABEL) -> bytes:
    header = Header()
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
    array = to_detection_array(detections, header, LABELS, class_id_format)
    return serialize_message(array)


def write(path, rows):
    """Write rows of topic, stamp and detections."""
    with BagWriter(path) as bag:
        for topic in dict.fromkeys(topic for topic, *_ in rows):
            bag.add_topic(topic, DETECTIONS)
        for topic, stamp, detections in rows:
            bag.write(topic, 10**9, message(detections, stamp))
    return path


def test_classes_get_the_indices_of_names_that_were_known_before():
    names = ClassNames()
    names.learn_labels({0: "cone", 1: "box", 2: "ball"})
    for class_id_format, expected in (
        (ClassIdFormat.LABEL, [2, 1]),
        (ClassIdFormat.INDEX, [0, 1]),
    ):
        read = read_detections(message(found(0, 1), 5, class_id_format), names)
        assert read.best_class_ids.tolist() == expected
    assert names.names == ["cone", "box", "ball"]
    fresh = ClassNames()
    read_detections(message(found(1, 0), 5), fresh)
    assert fresh.names == ["box", "ball"]


def test_detections_are_found_by_topic_and_stamp_and_those_that_share_one_in_their_order(tmp_path):
    rows = [
        ("/a", 100, found(0)),
        ("/b", 100, found(1)),
        ("/a", 0, found(0, 0)),
        ("/a", 0, found()),
    ]
    recorded = RecordedDetections.of_bag(write(tmp_path / "bag", rows), ["/a"], ClassNames())
    assert len(recorded) == 3
    assert len(recorded.find("/a", 100)) == 1
    assert [len(recorded.find("/a", 0, occurrence)) for occurrence in (0, 1)] == [2, 0]
    assert recorded.find("/a", 0, 2) is None
    assert recorded.find("/b", 100) is None


def test_a_topic_that_holds_no_detections_is_named_with_what_there_is(tmp_path):
    bag = write(tmp_path / "bag", [("/a", 100, found(0))])
    with pytest.raises(BagError, match=r"has no topic /b, where .*Array is expected; it has\n  /a"):
        RecordedDetections.of_bag(bag, ["/b"], ClassNames())


def test_frames_are_compared_by_the_stamps_of_the_bag_in_every_pass(tmp_path):
    rows = [("/a", 100, found(0, 1)), ("/a", 200, found(1))]
    names = ClassNames()
    recorded = RecordedDetections.of_bag(write(tmp_path / "bag", rows), ["/a"], names)
    comparison = BagComparison(recorded, {"/image": "/a"}, names.names)

    def frame(number: int, stamp: int, loop: int = 0, shift: int = 0) -> SentFrame:
        return SentFrame("/image", number, stamp + shift, 0, loop, shift)

    ball, box = names.names.index("ball"), names.names.index("box")
    assert len(comparison.add(frame(0, 100), found(ball, box))) == 2
    comparison.add(frame(1, 200), found())
    for stamp in (100, 200, 300):
        comparison.play("/image", stamp)
    comparison.add(frame(0, 100, 1, 1000), found(ball))
    assert comparison.add(frame(2, 300), found(ball)) is None
    figures = comparison.figures()["/image"]
    assert [each.missed for each in figures.frames] == [{}, {"box": 1}, {"box": 1}]
    assert figures.unknown == ("frame 2 of /image, stamp 0.000000300",)
    assert (figures.objects, figures.matched, figures.missed, figures.extra) == (5, 3, 2, 0)
    assert (figures.absent, figures.reference_frames) == ((), 2)


def test_recorded_frames_that_were_not_played_are_named_also_of_those_that_share_a_stamp(tmp_path):
    rows = [("/a", stamp, found(0)) for stamp in (300, 0, 0, 0, 100)]
    rows.append(("/b", 7, found(1)))
    names = ClassNames()
    recorded = RecordedDetections.of_bag(write(tmp_path / "bag", rows), ["/a", "/b"], names)
    comparison = BagComparison(recorded, {"/image": "/a"}, names.names)
    comparison.play("/image", 0)
    comparison.play("/image", 300)
    comparison.play("/image", 400)
    figures = comparison.figures()["/image"]
    zero, one = ("/a, stamp 0.000000000", "/a, stamp 0.000000100")
    assert (figures.absent, figures.reference_frames) == ((zero, zero, one), 5)
