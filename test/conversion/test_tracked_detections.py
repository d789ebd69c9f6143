"""Arrays of detections for a tracker, read from message objects and from bytes."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from jetson_detect.conversion.detection_bytes import DetectionBytes, EncodingError
from jetson_detect.conversion.detection_bytes_check import difference_from_message_objects
from jetson_detect.conversion.tracked_detections import DetectionMessage
from jetson_detect.core.tracking.camera_tracker import NO_ID, Tracks

HEADER = Header(stamp=Time(sec=17, nanosec=5), frame_id="eye")


def detection(
    box: tuple[float, float, float, float, float], *hypotheses: tuple[str, float]
) -> Detection2D:
    """Of centre, size and angle, with what a detector may say besides."""
    message = Detection2D(header=Header(stamp=Time(sec=16), frame_id="own"), id="theirs")
    center = message.bbox.center
    center.position.x, center.position.y, center.theta = box[0], box[1], box[4]
    message.bbox.size_x, message.bbox.size_y = box[2], box[3]
    for class_id, score in hypotheses:
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = class_id, score
        hypothesis.pose.pose.position.z = 4.5
        hypothesis.pose.covariance[7] = 0.25
        message.results.append(hypothesis)
    return message


def array(*detections: Detection2D) -> Detection2DArray:
    return Detection2DArray(header=HEADER, detections=list(detections))


def three() -> Detection2DArray:
    return array(
        detection((100.0, 50.0, 40.0, 20.0, 0.0), ("cup", 0.25), ("ball", 0.75), ("", 0.5)),
        detection((10.0, 20.0, 4.0, 8.0, 0.0)),
        detection((0.5, 0.5, 1.0, 1.0, 0.0), ("7", 0.125)),
    )


def tracks(*ids: int, boxes: list[list[float]] | None = None) -> Tracks:
    edges = np.zeros((len(ids), 4)) if boxes is None else np.array(boxes, float)
    return Tracks(np.array(ids, np.int64), edges)


def through_bytes(message: Detection2DArray) -> DetectionBytes:
    return DetectionBytes(serialize_message(message))


@pytest.fixture(params=[DetectionMessage, through_bytes], ids=["message object", "bytes"])
def opened(request):
    """Open a message in one of the two ways."""
    return request.param


def answer(array, *tracks, **how) -> Detection2DArray:
    """What is published, as a message object."""
    written = array.with_tracks(*tracks, **how)
    if isinstance(written, bytes):
        return deserialize_message(written, Detection2DArray)
    return written


def test_the_stamp_is_that_of_the_array(opened):
    assert opened(three()).stamp_ns == 17_000_000_005


def test_objects_are_read_in_their_order_with_their_best_hypothesis(opened):
    seen = opened(three()).observations()
    assert seen.boxes.tolist() == [
        [80.0, 40.0, 120.0, 60.0],
        [8.0, 16.0, 12.0, 24.0],
        [0.0, 0.0, 1.0, 1.0],
    ]
    assert seen.scores.tolist() == [0.75, 0.0, 0.125]
    assert seen.classes == ("ball", "", "7")
    assert seen.angles is None
    assert seen.usable().tolist() == [True, False, True]


def test_an_empty_array_has_no_objects(opened):
    seen = opened(array()).observations()
    assert (len(seen), seen.boxes.shape, seen.scores.shape) == (0, (0, 4), (0,))


def test_a_turned_box_comes_with_its_angle(opened):
    seen = opened(
        array(
            detection((10.0, 10.0, 4.0, 2.0, 0.0), ("cup", 0.5)),
            detection((50.0, 50.0, 20.0, 10.0, math.pi / 2), ("cup", 0.5)),
        )
    ).observations()
    assert seen.angles is not None
    assert seen.angles.tolist() == [0.0, math.pi / 2]
    assert seen.boxes[1].tolist() == [40.0, 45.0, 60.0, 55.0]
    assert seen.upright_boxes[1].tolist() == pytest.approx([45, 40, 55, 60], abs=1e-4)


@pytest.mark.parametrize("place", range(5))
def test_a_number_that_is_none_makes_its_object_useless_and_no_other(opened, place):
    numbers = [10.0, 10.0, 4.0, 2.0, 0.5]
    numbers[place] = math.nan
    seen = opened(
        array(
            detection(tuple(numbers), ("cup", 0.5)),
            detection((50.0, 50.0, 20.0, 10.0, 0.0), ("cup", 0.5)),
        )
    ).observations()
    assert seen.usable().tolist() == [False, True]
    assert np.isfinite(seen.upright_boxes[1]).all()


def test_with_ids_everything_else_stays_as_it_came(opened):
    message = answer(opened(three()), tracks(12, NO_ID, 3), confirmed_only=False, boxes=False)
    expected = three()
    for each, track_id in zip(expected.detections, ("12", "", "3")):
        each.id = track_id
    assert message == expected


def test_only_confirmed_tracks_are_left_where_that_is_wanted(opened):
    whole = three()
    message = answer(opened(three()), tracks(NO_ID, NO_ID, 3), confirmed_only=True, boxes=False)
    (left,) = message.detections
    last = copy.deepcopy(whole.detections[2])
    last.id = "3"
    assert left == last
    assert message.header == HEADER


def test_smoothed_boxes_are_written_for_confirmed_tracks_alone(opened):
    edges = [[80.0, 40.0, 130.0, 61.0], [1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0]]
    given_tracks = tracks(5, NO_ID, NO_ID, boxes=edges)
    message = answer(opened(three()), given_tracks, confirmed_only=False, boxes=True)
    expected = three()
    box = expected.detections[0].bbox
    box.center.position.x, box.center.position.y, box.size_x, box.size_y = 105.0, 50.5, 50.0, 21.0
    for each, track_id in zip(expected.detections, ("5", "", "")):
        each.id = track_id
    assert message == expected


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9)
NUMBERS = st.floats(-(2.0**20), 2.0**20)
DETECTIONS = st.builds(
    lambda box, hypotheses, track_id: (detection(box, *hypotheses), track_id),
    st.tuples(*[NUMBERS] * 5),
    st.lists(st.tuples(TEXTS, NUMBERS), max_size=3),
    st.sampled_from([NO_ID, 7, 42, 12345]),
)


@settings(max_examples=40, deadline=None)
@given(
    frame_id=TEXTS,
    contents=st.lists(DETECTIONS, max_size=5),
    confirmed_only=st.booleans(),
    boxes=st.booleans(),
)
def test_bytes_say_what_message_objects_do(frame_id, contents, confirmed_only, boxes):
    message = array(*(each for each, _ in contents))
    message.header = Header(stamp=Time(sec=-5, nanosec=17), frame_id=frame_id)
    for each in message.detections:
        each.header.frame_id = frame_id[1:]
    ours, theirs = through_bytes(message), DetectionMessage(message)
    assert ours.stamp_ns == theirs.stamp_ns == -4_999_999_983
    seen, expected = ours.observations(), theirs.observations()
    assert seen.classes == expected.classes
    assert seen.scores.tolist() == expected.scores.tolist()
    assert seen.boxes.tolist() == expected.boxes.tolist()
    assert (seen.angles is None) == (expected.angles is None)
    edges = np.arange(4.0 * len(contents)).reshape(-1, 4)
    given_tracks = Tracks(np.array([each for _, each in contents], np.int64), edges)
    how = {"confirmed_only": confirmed_only, "boxes": boxes}
    written = ours.with_tracks(given_tracks, **how)
    wanted = theirs.with_tracks(given_tracks, **how)
    assert deserialize_message(written, Detection2DArray) == wanted
    assert len(written) == len(serialize_message(wanted))


def test_bytes_that_end_too_early_are_refused():
    data = serialize_message(three())
    refused = 0
    for size in range(0, len(data), 7):
        with pytest.raises(EncodingError):
            DetectionBytes(data[:size])
        refused += 1
    assert refused > 100


def test_another_encoding_is_refused_by_its_first_bytes():
    data = b"\x00\x00" + serialize_message(three())[2:]
    with pytest.raises(EncodingError, match="begins with 00 00 00 00: no little endian CDR"):
        DetectionBytes(data)


def test_a_class_that_is_no_text_is_a_class_all_the_same():
    data = serialize_message(array(detection((1.0, 2.0, 3.0, 4.0, 0.0), ("xyz", 0.5))))
    (name,) = DetectionBytes(data.replace(b"xyz", b"x\xffz")).observations().classes
    assert name == "x\N{REPLACEMENT CHARACTER}z"


def test_the_running_ros_is_read_as_bytes():
    assert difference_from_message_objects() is None


def reversed_bytes(message):
    return b"\x00\x00" + serialize_message(message)[2:]


def with_another_stamp(message):
    return serialize_message(message)[:4] + bytes(8) + serialize_message(message)[12:]


@pytest.mark.parametrize(
    ("serialize", "reason"),
    [(reversed_bytes, "no little endian CDR"), (with_another_stamp, "reads other values")],
)
def test_where_messages_are_encoded_in_another_way_that_is_noticed(serialize, reason):
    assert reason in difference_from_message_objects(serialize)


def test_where_the_middleware_reads_in_another_way_that_is_noticed():
    difference = difference_from_message_objects(deserialize=lambda data, kind: kind())
    assert difference == "the middleware reads other values from what was written"
