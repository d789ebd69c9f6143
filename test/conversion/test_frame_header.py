from __future__ import annotations

from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header

from jetson_detect.conversion.frame_header import FrameHeader

STAMPS = {"sec": st.integers(-(2**31), 2**31 - 1), "nanosec": st.integers(0, 2**32 - 1)}


@given(frame_id=st.text(), **STAMPS)
def test_a_header_becomes_a_message_with_the_same_values(sec, nanosec, frame_id):
    message = FrameHeader(sec, nanosec, frame_id).to_message()
    assert message == Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def test_headers_of_the_same_moment_and_place_are_one_key():
    assert len({FrameHeader(1, 2, "a"), FrameHeader(1, 2, "a"), FrameHeader(1, 3, "a")}) == 2
