"""``sensor_msgs/Image`` as it was received, taken over by the middleware or still serialised."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from jetson_detect.conversion.cdr_members import (
    BYTE_ORDERS,
    ENCAPSULATION_BYTES,
    read_identifier,
    read_numbers,
    read_text,
    view_bytes,
)
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.pixels import Pixels
from jetson_detect.middleware.received_image import ReceivedImage

_BIGENDIAN_BYTES = 1
_REMEDY = "receive in mode 'rcl', which leaves it to the middleware to read them"


class _Layout(NamedTuple):
    """The members of an Image between its strings."""

    to_frame_id: struct.Struct
    """Seconds, nanoseconds, length of frame_id."""
    to_encoding: struct.Struct
    """Height, width, length of encoding."""
    to_data: struct.Struct
    """Step, length of data; is_bigendian is one byte before them."""


_LAYOUTS = {
    name: _Layout(*(struct.Struct(order + form) for form in ("iII", "III", "II")))
    for name, order in BYTE_ORDERS.items()
}


def read_image(data: Any) -> tuple[FrameHeader, Pixels]:
    """Read a message's header and view its pixels; nothing is copied, nothing is written.

    Parameters
    ----------
    data
        An image of the middleware, or a buffer of bytes with a whole serialised one, the
        encapsulation header included.  The pixels look into it and keep it alive.

    Raises
    ------
    PixelError
        If the bytes end too early or contradict themselves, if the encapsulation is not plain
        CDR, or the encoding of the pixels is not supported.

    """
    if not isinstance(data, ReceivedImage):
        data = _parse(data)
    sec, nanosec, frame_id, height, width, encoding, is_bigendian, step, pixels = data
    return FrameHeader(sec, nanosec, frame_id), Pixels.from_buffer(
        pixels,
        width=width,
        height=height,
        step=step,
        encoding=encoding,
        is_bigendian=is_bigendian,
    )


def _parse(data: Any) -> ReceivedImage:
    raw = memoryview(data)
    layout = _LAYOUTS[read_identifier(raw, "image", _REMEDY)]
    (sec, nanosec, length), place = read_numbers(
        raw, ENCAPSULATION_BYTES, layout.to_frame_id, "image", "stamp"
    )
    frame_id, place = read_text(raw, place, length, "image", "frame_id")
    (height, width, length), place = read_numbers(raw, place, layout.to_encoding, "image", "size")
    encoding, place = read_text(raw, place, length, "image", "encoding")
    big_endian_at = place
    (step, length), place = read_numbers(
        raw, place + _BIGENDIAN_BYTES, layout.to_data, "image", "step"
    )
    pixels = view_bytes(raw, place, length, "image", "pixels")
    is_bigendian = raw[big_endian_at] != 0
    return ReceivedImage(
        sec, nanosec, frame_id, height, width, encoding, is_bigendian, step, pixels
    )
