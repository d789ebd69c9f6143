from __future__ import annotations

import struct

import pytest

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.frames import frames
from jetson_detect.bags.reader import BagMessage

MS = 1_000_000


def message(topic: str, recorded_ms: int, stamp_ms: int = 0) -> BagMessage:
    seconds, milliseconds = divmod(stamp_ms, 1000)
    data = b"\x00\x01\x00\x00" + struct.pack("<iI", seconds, milliseconds * MS)
    return BagMessage(topic, "some_msgs/msg/Thing", recorded_ms * MS, data)


def image(recorded_ms: int, stamp_ms: int, topic: str = "/image") -> BagMessage:
    return message(topic, recorded_ms, stamp_ms)


def truth(recorded_ms: int, stamp_ms: int) -> BagMessage:
    return message("/truth", recorded_ms, stamp_ms)


def sorted_into_frames(*messages: BagMessage):
    """[(image's stamp in ms, its companions)]."""
    made = frames(messages, ["/image", "/other_image"], ["/truth"])
    return [(frame.stamp // MS, list(frame.companions)) for frame in made]


def test_a_companion_goes_with_the_image_of_its_stamp_whichever_was_recorded_first():
    before, after = truth(100, 100), truth(160, 133)
    assert sorted_into_frames(before, image(101, 100), image(140, 133), after) == [
        (100, [before]),
        (133, [after]),
    ]


def test_a_frame_whose_companions_are_there_waits_for_nothing():
    def recorded():
        yield truth(100, 100)
        yield image(101, 100)
        raise AssertionError("read on")

    frame = next(frames(recorded(), ["/image"], ["/truth"]))
    assert frame.stamp == 100 * MS


def test_a_companion_recorded_long_after_its_image_goes_with_the_next_one():
    late = truth(2000, 100)
    assert sorted_into_frames(image(100, 100), late, image(2700, 2700)) == [
        (100, []),
        (2700, [late]),
    ]


def test_a_companion_whose_image_was_dropped_is_not_lost():
    orphan = truth(100, 100)
    assert sorted_into_frames(orphan, image(140, 133), image(900, 900)) == [
        (133, []),
        (900, [orphan]),
    ]


def test_messages_without_stamp_keep_their_place_before_the_next_image():
    first, second = message("/odom", 50), message("/odom", 120)
    assert sorted_into_frames(first, image(100, 100), second, image(140, 133)) == [
        (100, [first]),
        (133, [second]),
    ]


def test_cameras_that_share_stamps_share_no_companions():
    both = truth(100, 100)
    made = sorted_into_frames(both, image(101, 100), image(102, 100, "/other_image"))
    assert made == [(100, [both]), (100, [])]


def test_frames_are_counted_from_0_on_each_topic():
    made = frames(
        [image(1, 1), image(2, 2, "/other_image"), image(3, 3)], ["/image", "/other_image"]
    )
    assert [(frame.image.topic, frame.number) for frame in made] == [
        ("/image", 0),
        ("/other_image", 0),
        ("/image", 1),
    ]


def test_an_image_without_a_header_is_named_by_its_topic():
    with pytest.raises(BagError, match=r"/image: .*too few"):
        list(frames([BagMessage("/image", "", 0, b"\x00\x01\x00\x00")], ["/image"]))
