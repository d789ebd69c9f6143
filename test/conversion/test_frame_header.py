from __future__ import annotations

from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header

from jetson_detect.conversion.frame_header import FrameHeader

STAMPS = {"sec": st.integers(-(2**31), 2**31 - 1), "nanosec": st.integers(0, 2**32 - 1)}


def test_a_header_is_read_from_a_message():
    message = Header(stamp=Time(sec=7, nanosec=9), frame_id="front")
    assert FrameHeader.from_message(message) == FrameHeader(7, 9, "front")


@given(frame_id=st.text(), **STAMPS)
def test_a_header_comes_back_from_its_message(sec, nanosec, frame_id):
    header = FrameHeader(sec, nanosec, frame_id)
    message = header.to_message()
    assert (message.stamp.sec, message.stamp.nanosec) == (sec, nanosec)
    assert FrameHeader.from_message(message) == header


def test_headers_of_the_same_moment_and_place_are_one_key():
    assert len({FrameHeader(1, 2, "a"), FrameHeader(1, 2, "a"), FrameHeader(1, 3, "a")}) == 2
