from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from jetson_detect.bags.stamps import StampError, format_stamp, read_stamp, with_stamp
from jetson_detect.bags.types import typestore

SECONDS = st.integers(-(2**31), 2**31 - 1)
NANOSECONDS = st.integers(0, 10**9 - 1)
FRAME_IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


typestore()  # reading all definitions takes longer than one of hypothesis' examples may


def as_cdr(seconds: int, nanoseconds: int, frame_id: str, little_endian: bool) -> bytes:
    types = typestore().types
    header = types["std_msgs/msg/Header"](
        stamp=types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds),
        frame_id=frame_id,
    )
    return bytes(
        typestore().serialize_cdr(header, "std_msgs/msg/Header", little_endian=little_endian)
    )


@given(SECONDS, NANOSECONDS, FRAME_IDS, st.booleans(), SECONDS, NANOSECONDS)
def test_a_stamp_reads_as_written_and_rewriting_changes_nothing_else(
    seconds, nanoseconds, frame_id, little_endian, new_seconds, new_nanoseconds
):
    data = as_cdr(seconds, nanoseconds, frame_id, little_endian)
    assert read_stamp(data) == seconds * 10**9 + nanoseconds
    rewritten = with_stamp(data, new_seconds * 10**9 + new_nanoseconds)
    assert rewritten == as_cdr(new_seconds, new_nanoseconds, frame_id, little_endian)
    assert with_stamp(rewritten, read_stamp(data)) == data


def test_what_rclpy_serialises_is_understood():
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000, 123_456_789
    rewritten = with_stamp(serialize_message(header), 5_000_000_007)
    assert read_stamp(rewritten) == 5_000_000_007
    again = deserialize_message(rewritten, Header)
    assert (again.stamp.sec, again.stamp.nanosec, again.frame_id) == (5, 7, "camera")


@given(st.binary(max_size=40))
def test_any_bytes_give_a_stamp_or_a_stamp_error(data):
    try:
        stamp = read_stamp(data)
    except StampError:
        with pytest.raises(StampError):
            with_stamp(data, 0)
    else:
        assert with_stamp(data, 0)[12:] == data[12:]
        assert read_stamp(with_stamp(data, stamp)) == stamp


@pytest.mark.parametrize("stamp", [2**31 * 10**9, -(2**31) * 10**9 - 1])
def test_a_stamp_beyond_32_bits_of_seconds_is_refused(stamp):
    with pytest.raises(StampError, match="32 bits"):
        with_stamp(as_cdr(1, 2, "", True), stamp)


def test_parameter_list_cdr_is_refused_by_name():
    with pytest.raises(StampError, match="0x0003"):
        read_stamp(b"\x00\x03" + bytes(20))


@pytest.mark.parametrize(
    ("stamp", "text"), [(1_700_000_000_033_333_333, "1700000000.033333333"), (-1, "-0.000000001")]
)
def test_a_stamp_is_written_with_nine_decimals(stamp, text):
    assert format_stamp(stamp) == text
