from __future__ import annotations

import array
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.images import pixels_from_image
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.core.pixels import PixelError
from jetson_detect.middleware.received_image import ReceivedImage

PIXEL_BYTES = {"bgr8": 3, "rgb8": 3, "bgra8": 4, "mono8": 1, "8UC1": 1, "mono16": 2, "rgba16": 8}
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)


@st.composite
def images(draw):
    encoding = draw(st.sampled_from(sorted(PIXEL_BYTES)))
    width, height = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    step = width * PIXEL_BYTES[encoding] + draw(st.integers(0, 5))
    message = Image(width=width, height=height, step=step, encoding=encoding)
    message.is_bigendian = draw(st.integers(0, 1))
    message.header.frame_id = draw(TEXTS)
    message.header.stamp.sec = draw(st.integers(-(2**31), 2**31 - 1))
    message.header.stamp.nanosec = draw(st.integers(0, 2**32 - 1))
    message.data = array.array("B", draw(st.binary(min_size=step * height, max_size=step * height)))
    return message


def big_endian(message: Image) -> bytes:
    """As a machine of the other byte order serialises it; written from the specification."""
    body = bytearray()

    def numbers(form: str, *values: int) -> None:
        body.extend(bytes(-len(body) % 4) + struct.pack(">" + form, *values))

    def text(value: str) -> None:
        numbers("I", len(value.encode()) + 1)
        body.extend(value.encode() + b"\0")

    numbers("iI", message.header.stamp.sec, message.header.stamp.nanosec)
    text(message.header.frame_id)
    numbers("II", message.height, message.width)
    text(message.encoding)
    body.append(message.is_bigendian)
    numbers("II", message.step, len(message.data))
    return b"\0\0\0\0" + bytes(body) + message.data.tobytes()


@given(images(), st.booleans())
def test_a_serialised_image_reads_like_the_typed_message(message, other_byte_order):
    data = big_endian(message) if other_byte_order else serialize_message(message)
    header, pixels = read_image(data)
    assert header.to_message() == message.header
    expected = pixels_from_image(message)
    assert pixels.format == expected.format
    is_deep = message.encoding in ("mono16", "rgba16")
    assert pixels.format.big_endian == (is_deep and message.is_bigendian == 1)
    np.testing.assert_array_equal(pixels.data, expected.data)
    assert pixels.data.strides == expected.data.strides


def test_an_image_of_the_middleware_reads_the_same():
    data = np.arange(14, dtype=np.uint8)
    header, pixels = read_image(ReceivedImage(1, 2, "left", 2, 2, "rgb8", False, 8, data))
    assert header == FrameHeader(1, 2, "left")
    assert pixels.format.color_order == "RGB"
    np.testing.assert_array_equal(pixels.data, [[[0, 1, 2], [3, 4, 5]], [[8, 9, 10], [11, 12, 13]]])


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_the_higher_bytes_of_the_middlewares_image_are_found(is_bigendian):
    data = np.array([1, 2, 3, 4], np.uint8)
    _, pixels = read_image(ReceivedImage(1, 2, "left", 1, 2, "mono16", is_bigendian, 4, data))
    assert pixels.high_bytes().data.tolist() == [[1, 3] if is_bigendian else [2, 4]]


def small_image() -> bytearray:
    message = Image(width=2, height=2, step=6, encoding="bgr8", data=array.array("B", range(12)))
    message.header.frame_id = "front"
    return bytearray(serialize_message(message))


def test_pixels_are_the_bytes_that_were_received():
    data = small_image()
    _, pixels = read_image(data)
    assert pixels.data[1, 1].tolist() == [9, 10, 11]
    data[-1] = 99
    assert pixels.data[1, 1].tolist() == [9, 10, 99]


def test_pixels_cannot_be_written():
    _, pixels = read_image(small_image())
    with pytest.raises(ValueError, match="read-only"):
        pixels.data[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("length", "member"),
    [(4, "stamp"), (15, "stamp"), (20, "frame_id"), (32, "size"), (40, "encoding"), (50, "step")],
)
def test_a_message_that_is_cut_off_names_where(length, member):
    expected = f"a serialised image is over after {length} bytes, within its {member}"
    with pytest.raises(PixelError, match=expected):
        read_image(small_image()[:length])


def test_a_message_without_all_of_its_pixels_is_refused():
    with pytest.raises(PixelError, match="announces 12 bytes of pixels, but 11 follow"):
        read_image(small_image()[:-1])


@pytest.mark.parametrize("start", [b"", b"\0", b"\0\2\0\0", b"\1\0\0\0", b"\0\7\0\0"])
def test_another_encapsulation_than_plain_cdr_is_refused(start):
    data = start + small_image()[4:] if len(start) == 4 else start
    text = f"begins with 0x{start[:2].hex()}; known are 0x0000 and .* receive in mode 'rcl'"
    with pytest.raises(PixelError, match=text):
        read_image(data)


def test_an_encoding_that_is_not_known_is_refused():
    with pytest.raises(PixelError, match="encoding 'bgrX' is not supported"):
        read_image(small_image().replace(b"bgr8", b"bgrX"))


def test_text_that_is_not_utf_8_is_read_as_rclpy_reads_it():
    data = small_image().replace(b"front", b"fr\xff\0t")
    assert read_image(data)[0].frame_id == deserialize_message(bytes(data), Image).header.frame_id


@given(st.binary(max_size=80), st.sampled_from([b"", b"\0\1\0\0", b"\0\0\0\0"]))
@example(b"", b"\0\1\0\0")
def test_random_bytes_are_read_or_refused(rest, start):
    check_bounds(start + rest)


@given(st.data())
def test_a_damaged_message_is_read_or_refused(data):
    message = small_image()
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place] = data.draw(st.integers(0, 255))
    check_bounds(bytes(message))


def check_bounds(data: bytes) -> None:
    try:
        _, pixels = read_image(data)
    except PixelError:
        return
    seen = pixels.data
    first = seen.ctypes.data - np.frombuffer(data, np.uint8).ctypes.data
    last = first + sum((size - 1) * stride for size, stride in zip(seen.shape, seen.strides))
    assert 0 <= first <= last < len(data)
