from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.types import typestore
from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detection_writer_check import difference_from_typed_path
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections

LABELS = ("ball", "", "Straßenbahn", "猫", "traffic light")
HEADER = FrameHeader(12, 345, "front")
SIZES = (0, 1, 2, 10, 11, 25, 26, 90)
"""On both sides of where the writer changes from a loop to arrays."""


def objects(count: int, hypotheses: int = 1, seed: int = 0, angles: bool = False) -> Detections:
    draw = np.random.default_rng(seed)
    scores = 1 - draw.random((count, hypotheses), np.float32)
    return Detections(
        1920 * draw.random((count, 4), np.float32),
        -np.sort(-scores, axis=1),
        draw.integers(0, len(LABELS), (count, hypotheses), np.int32),
        draw.random(count, np.float32) if angles else None,
    )


def written(
    detections: Detections,
    header: FrameHeader = HEADER,
    labels: tuple[str, ...] = LABELS,
    class_id_format: ClassIdFormat = ClassIdFormat.LABEL,
) -> bytes:
    return bytes(DetectionWriter(labels)(detections, header, class_id_format))


def typed(
    detections: Detections,
    header: FrameHeader = HEADER,
    labels: tuple[str, ...] = LABELS,
    class_id_format: ClassIdFormat = ClassIdFormat.LABEL,
) -> Detection2DArray:
    return to_detection_array(detections, header.to_message(), labels, class_id_format)


def with_zero_padding(message: Detection2DArray) -> bytes:
    """Serialise with rosbags, a serialiser of its own: padding is zero, Fast DDS leaves it open."""
    name = "vision_msgs/msg/Detection2DArray"
    read = typestore().deserialize_cdr(serialize_message(message), name)
    return bytes(typestore().serialize_cdr(read, name))


def read(message: bytes) -> Detection2DArray:
    return deserialize_message(message, Detection2DArray)


@pytest.mark.parametrize("frame_id", ["", "abc", "abcd", "left_camera_optical_frame"])
@pytest.mark.parametrize("hypotheses", [0, 1, 3])
@pytest.mark.parametrize("count", SIZES)
def test_the_bytes_are_those_of_the_typed_message(count, hypotheses, frame_id):
    found = objects(count, hypotheses, angles=True)
    header = HEADER._replace(frame_id=frame_id)
    assert written(found, header) == with_zero_padding(typed(found, header))


def test_the_middleware_makes_a_message_of_the_same_size_and_encoding():
    found = objects(90, 3)
    expected = serialize_message(typed(found))
    message = written(found)
    assert (message[:4], len(message)) == (expected[:4], len(expected))


texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
numbers = st.floats(width=32)
headers = st.builds(FrameHeader, st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), texts)


@st.composite
def any_detections(draw: st.DrawFn) -> Detections:
    count, hypotheses = draw(st.integers(0, 40)), draw(st.integers(1, 4))

    def rows(shape, elements, dtype):
        size = int(np.prod(shape))
        # Lists of all numbers would be large; a few, repeated, reach every combination.
        some = draw(st.lists(elements, min_size=1, max_size=12))
        return np.resize(np.array(some, dtype), size).reshape(shape)

    return Detections(
        rows((count, 4), numbers, np.float32),
        rows((count, hypotheses), st.sampled_from([0.0, 0.25, 1.0]) | numbers, np.float32),
        rows((count, hypotheses), st.integers(-2, 7) | st.integers(-(2**31), 2**31 - 1), np.int32),
        draw(st.none() | st.just(0).map(lambda _: rows((count,), numbers, np.float32))),
    )


@settings(max_examples=60, deadline=None)
@given(any_detections(), headers, st.lists(texts, max_size=6), st.sampled_from(ClassIdFormat))
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_any_detections_are_written_as_the_typed_path_does(found, header, labels, class_id_format):
    arguments = (found, header, tuple(labels), class_id_format)
    message = written(*arguments)
    expected = typed(*arguments)
    assert message == with_zero_padding(expected)
    assert len(message) == len(serialize_message(expected))


@pytest.mark.parametrize("count", [3, 40])
def test_the_fields_are_read_as_the_typed_path_publishes_them(count):
    found = objects(count, 2, angles=True)
    assert read(written(found)) == typed(found)


def test_one_writer_serves_one_frame_after_the_other():
    writer = DetectionWriter(LABELS)
    frames = [
        (objects(count, hypotheses, seed, angles), FrameHeader(seed, 7 * seed, frame_id), style)
        for seed, (count, hypotheses, angles, frame_id, style) in enumerate(
            [
                (300, 1, True, "front", ClassIdFormat.LABEL),
                (40, 1, False, "front", ClassIdFormat.LABEL),
                (300, 5, True, "front", ClassIdFormat.LABEL),
                (40, 2, False, "front", ClassIdFormat.LABEL),
                (4, 2, False, "front", ClassIdFormat.INDEX),
                (40, 1, True, "rear left", ClassIdFormat.INDEX),
                (0, 1, False, "rear left", ClassIdFormat.INDEX),
            ]
        )
    ]
    for found, header, style in frames:
        message = bytes(writer(found, header, style))
        assert message == with_zero_padding(typed(found, header, LABELS, style))


@pytest.mark.parametrize("count", [4, 30])
def test_messages_of_an_object_each_grow_no_memory(count):
    writer = DetectionWriter(LABELS)
    found = objects(count)
    addresses = {
        np.frombuffer(writer(found, HEADER._replace(sec=sec), ClassIdFormat.LABEL), np.uint8)
        .__array_interface__["data"][0]
        for sec in range(3)
    }  # fmt: skip
    assert len(addresses) == 1


@pytest.mark.parametrize("count", [3, 12, 40])
@pytest.mark.parametrize("hypotheses", [1, 3])
def test_hypotheses_of_score_0_are_left_out_wherever_they_stand(count, hypotheses):
    found = objects(count, hypotheses)
    blanks = np.random.default_rng(1).random(found.scores.shape) < 0.5
    blanks[0], blanks[-1] = True, False
    found.scores[blanks] = 0
    message = written(found)
    assert message == with_zero_padding(typed(found))
    counts = [len(entry.results) for entry in read(message).detections]
    assert counts == (~blanks).sum(axis=1).tolist()


@pytest.mark.parametrize("count", [2, 40])
@pytest.mark.parametrize("labels", [(), ("ball",)])
def test_classes_beyond_the_labels_are_written_by_their_index(count, labels):
    writer = DetectionWriter(labels)
    for classes in ([-1], [-1, 7], [2**31 - 1, 0], [7, -1]):
        found = objects(count)
        found.class_ids[:, 0] = np.resize(classes, count)
        message = bytes(writer(found, HEADER, ClassIdFormat.LABEL))
        assert message == with_zero_padding(typed(found, labels=labels))


def test_ever_new_classes_beyond_the_labels_are_written_but_not_kept():
    writer = DetectionWriter(LABELS)
    found = objects(700)
    tracemalloc.start()
    try:
        for start in range(100, 5700, 700):
            found.class_ids[:, 0] = np.arange(start, start + 700)
            message = writer(found, HEADER, ClassIdFormat.LABEL)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    names = [entry.results[0].hypothesis.class_id for entry in read(bytes(message)).detections]
    assert names == [str(index) for index in range(5000, 5700)]
    assert kept < 6 << 20


@pytest.mark.parametrize("count", [3, 40])
def test_strings_end_at_a_nul_as_those_of_typed_messages_do(count):
    found, header, labels = objects(count), HEADER._replace(frame_id="le\0ft"), ("a\0bc",) * 5
    message = written(found, header, labels)
    assert message == with_zero_padding(typed(found, header, labels))
    assert read(message).detections[0].header.frame_id == "le"


@pytest.mark.parametrize("count", [3, 12, 40])
def test_boxes_are_computed_in_their_own_precision(count):
    found = objects(count)
    found.boxes[:] = np.float32([16777216, 0, 16777219, 1e-45])
    assert written(found) == with_zero_padding(typed(found))


@pytest.mark.parametrize(("sec", "nanosec"), [(2**31, 0), (0, -1), (0, 2**32)])
def test_a_stamp_that_no_message_can_hold_is_refused(sec, nanosec):
    with pytest.raises(struct.error):
        written(objects(1), FrameHeader(sec, nanosec, "front"))


def test_the_message_can_be_handed_to_c_without_a_copy():
    message = DetectionWriter(LABELS)(objects(3), HEADER, ClassIdFormat.LABEL)
    assert (message.format, message.itemsize, message.contiguous) == ("B", 1, True)
    assert not message.readonly


def test_the_running_middleware_reads_what_is_written():
    assert difference_from_typed_path(LABELS) is None


def test_a_middleware_with_another_encoding_is_told_apart():
    def big_endian(message):
        return b"\x00\x00" + serialize_message(message)[2:]

    reason = difference_from_typed_path(LABELS, big_endian)
    assert "it begins with 00 00 00 00, not 00 01 00 00 (little endian CDR)" in reason


def test_a_message_with_other_fields_is_told_apart():
    def with_one_more(message):
        return serialize_message(message) + b"\x00"

    reason = difference_from_typed_path((), with_one_more)
    assert "0 detections take 25 bytes, not 24; does the installed vision_msgs" in reason


def test_a_middleware_that_reads_other_values_is_told_apart():
    def without_the_last(data, kind):
        message = deserialize_message(data, kind)
        message.detections = message.detections[:-1]
        return message

    reason = difference_from_typed_path(LABELS, deserialize=without_the_last)
    assert "it reads 3 detections with other values" in reason


def test_a_middleware_that_cannot_read_what_is_written_is_told_apart():
    def refuse(data, kind):
        raise RuntimeError("bad alignment")

    reason = difference_from_typed_path(LABELS, deserialize=refuse)
    assert "it does not read 0 detections that were written: bad alignment" in reason
