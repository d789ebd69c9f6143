from __future__ import annotations

import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from jetson_detect.conversion.detections import (
    ClassIdFormat,
    from_detection_array,
    to_detection_array,
)
from jetson_detect.core.detections import Detections

LABELS = ("ball", "box", "cone")
HEADER = Header(stamp=Time(sec=12, nanosec=345), frame_id="front")


def detections(**changes: object) -> Detections:
    fields = {
        "boxes": np.array([[10, 20, 40, 60], [0, 0, 5.5, 7]], np.float32),
        "scores": np.array([[0.75, 0.25], [0.5, 0.0]], np.float32),
        "class_ids": np.array([[2, 0], [1, 2]], np.int32),
        **changes,
    }
    return Detections(**fields)


def test_boxes_become_centre_and_full_size():
    message = to_detection_array(detections(), HEADER, LABELS)
    box = message.detections[0].bbox
    assert (box.center.position.x, box.center.position.y) == (25.0, 40.0)
    assert (box.size_x, box.size_y, box.center.theta) == (30.0, 40.0, 0.0)


def test_the_header_is_in_the_array_and_in_each_detection():
    message = to_detection_array(detections(), HEADER, LABELS)
    assert [message.header, *(entry.header for entry in message.detections)] == [HEADER] * 3


def test_hypotheses_come_best_first_and_blank_ones_are_left_out():
    message = to_detection_array(detections(), HEADER, LABELS)
    ranked = [
        [(r.hypothesis.class_id, r.hypothesis.score) for r in entry.results]
        for entry in message.detections
    ]
    assert ranked == [[("cone", 0.75), ("ball", 0.25)], [("box", 0.5)]]


def test_class_ids_can_be_indices():
    message = to_detection_array(detections(), HEADER, LABELS, ClassIdFormat.INDEX)
    assert message.detections[0].results[0].hypothesis.class_id == "2"


def test_a_class_beyond_the_labels_is_published_by_its_index():
    found = detections(class_ids=np.array([[7, 0], [1, 2]], np.int32))
    message = to_detection_array(found, HEADER, LABELS)
    assert message.detections[0].results[0].hypothesis.class_id == "7"


def test_angles_go_into_theta():
    found = detections(angles=np.array([0.5, -math.pi / 2], np.float32))
    message = to_detection_array(found, HEADER, LABELS)
    thetas = [entry.bbox.center.theta for entry in message.detections]
    assert thetas == pytest.approx([0.5, -math.pi / 2])


def test_angles_are_read_back_from_theta():
    found = detections(angles=np.array([0.5, -math.pi / 2], np.float32))
    read = from_detection_array(to_detection_array(found, HEADER, LABELS), LABELS)
    np.testing.assert_array_equal(read.angles, found.angles)
    np.testing.assert_array_equal(read.boxes, found.boxes)


def test_a_message_without_turned_boxes_has_no_angles():
    message = to_detection_array(detections(), HEADER, LABELS)
    assert from_detection_array(message, LABELS).angles is None


def test_angles_follow_their_boxes_when_a_message_is_sorted():
    found = detections(angles=np.array([0.25, 0.0], np.float32))
    message = to_detection_array(found, HEADER, LABELS)
    message.detections.reverse()
    read = from_detection_array(message, LABELS)
    np.testing.assert_array_equal(read.boxes, found.boxes)
    np.testing.assert_array_equal(read.angles, [0.25, 0.0])


def test_no_detections_are_an_empty_array_with_the_header():
    message = to_detection_array(Detections.empty(), HEADER, LABELS)
    assert message == Detection2DArray(header=HEADER)


def test_the_id_is_left_to_trackers():
    assert {e.id for e in to_detection_array(detections(), HEADER, LABELS).detections} == {""}


def test_reading_a_message_leaves_out_objects_without_a_hypothesis():
    message = to_detection_array(detections(), HEADER, LABELS)
    message.detections.append(Detection2D())
    assert len(from_detection_array(message, LABELS)) == 2


def test_reading_a_message_marks_an_unknown_class():
    message = to_detection_array(detections(), HEADER, ("a", "b", "dog"))
    assert from_detection_array(message, LABELS).best_class_ids.tolist() == [-1, -1]


coordinates = st.floats(0, 4096, width=32)


@given(
    st.lists(
        st.tuples(
            st.tuples(coordinates, coordinates, coordinates, coordinates),
            st.floats(0.015625, 1, width=32),
            st.integers(0, 2),
        ),
        max_size=12,
    ),
    st.sampled_from(ClassIdFormat),
)
def test_what_is_published_can_be_read_back(rows, class_id_format):
    rows.sort(key=lambda row: -row[1])
    found = Detections.from_best(
        np.array([sorted(box[::2]) + sorted(box[1::2]) for box, _, _ in rows], np.float32)
        .reshape(-1, 4)[:, [0, 2, 1, 3]],
        np.array([score for _, score, _ in rows], np.float32),
        np.array([class_id for _, _, class_id in rows], np.int32),
    )  # fmt: skip
    message = to_detection_array(found, HEADER, LABELS, class_id_format)
    read = from_detection_array(message, LABELS)
    np.testing.assert_allclose(read.boxes, found.boxes, atol=1e-3)
    np.testing.assert_array_equal(read.best_scores, found.best_scores)
    np.testing.assert_array_equal(read.best_class_ids, found.best_class_ids)
