from __future__ import annotations

import array
import struct

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from jetson_detect.conversion.compressed_image import read_compressed_image
from jetson_detect.core.pixels import PixelError

PICTURE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)


def message_of(frame_id: str = "front", description: str = "png", data: bytes = PNG):
    made = CompressedImage(format=description, data=array.array("B", data))
    made.header.stamp.sec, made.header.stamp.nanosec = -3, 4_000_000_000
    made.header.frame_id = frame_id
    return made


def big_endian(source: CompressedImage) -> bytes:
    """As a machine of the other byte order serialises it; written from the specification."""
    body = bytearray(struct.pack(">iI", source.header.stamp.sec, source.header.stamp.nanosec))
    for text in (source.header.frame_id.encode() + b"\0", source.format.encode() + b"\0"):
        body += bytes(-len(body) % 4) + struct.pack(">I", len(text)) + text
    body += bytes(-len(body) % 4) + struct.pack(">I", len(source.data))
    return b"\0\0\0\0" + bytes(body) + source.data.tobytes()


@given(TEXTS, TEXTS, st.booleans())
def test_a_serialised_message_reads_like_the_typed_one(frame_id, suffix, other_byte_order):
    source = message_of(frame_id, f"rgb8; png compressed bgr8{suffix}")
    data = big_endian(source) if other_byte_order else serialize_message(source)
    header, picture = read_compressed_image(data)
    assert header.to_message() == source.header
    assert picture.size == (7, 5)
    np.testing.assert_array_equal(picture.decode().data, PICTURE)


def test_the_format_reaches_the_picture():
    data = serialize_message(message_of(description="rgb8; png compressed rgb8"))
    assert read_compressed_image(data)[1].encoding == "rgb8"


def test_nothing_is_copied():
    data = np.frombuffer(serialize_message(message_of()), np.uint8)
    assert np.shares_memory(read_compressed_image(data)[1].data, data)


@settings(deadline=None)  # a damaged size may be a large one
@given(st.integers(0, 200), st.binary(max_size=3))
@example(0, b"")
def test_a_message_that_is_cut_off_or_damaged_is_a_pixel_error_or_a_picture(length, junk):
    data = bytearray(serialize_message(message_of()))
    length = min(length, len(data) - 1)
    with pytest.raises(PixelError):
        read_compressed_image(bytes(data[:length]))
    data[length : length + len(junk)] = junk
    try:
        picture = read_compressed_image(bytes(data))[1]
        assert picture.decode().size == picture.size
    except PixelError:
        pass


def test_an_unknown_encapsulation_is_named():
    with pytest.raises(PixelError, match="begins with 0x0009"):
        read_compressed_image(b"\0\x09\0\0" + bytes(40))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (15, "is over after 15 bytes, within its stamp"),
        (20, "is over after 20 bytes, within its frame_id"),
        (30, "is over after 30 bytes, within its format"),
        (34, "is over after 34 bytes, within its data"),
        (40, f"announces {len(PNG)} bytes of data, but 4 follow"),
    ],
)
def test_the_member_in_which_it_ends_is_named(length, message):
    data = serialize_message(message_of())
    with pytest.raises(PixelError, match=f"a serialised compressed image {message}"):
        read_compressed_image(data[:length])
