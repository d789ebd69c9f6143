"""``sensor_msgs/CompressedImage`` as it was received, still serialised."""

from __future__ import annotations

import struct
from typing import Any

from jetson_detect.conversion.cdr_members import (
    BYTE_ORDERS,
    ENCAPSULATION_BYTES,
    read_identifier,
    read_numbers,
    read_text,
    view_bytes,
)
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.compressed_pictures import CompressedPicture

_WHAT = "compressed image"
_STARTS = {name: struct.Struct(order + "iII") for name, order in BYTE_ORDERS.items()}
"""Seconds, nanoseconds, length of frame_id."""
_LENGTHS = {name: struct.Struct(order + "I") for name, order in BYTE_ORDERS.items()}


def read_compressed_image(data: Any) -> tuple[FrameHeader, CompressedPicture]:
    """Read a message's header and that of its picture; nothing is copied or decoded.

    Parameters
    ----------
    data
        A buffer of bytes with a whole serialised message, the encapsulation header included.  The
        picture looks into it and keeps it alive.

    Raises
    ------
    PixelError
        If the bytes end too early, if the encapsulation is not plain CDR, or as
        :meth:`CompressedPicture.read`.

    """
    raw = memoryview(data)
    order = read_identifier(raw, _WHAT)
    (sec, nanosec, length), place = read_numbers(
        raw, ENCAPSULATION_BYTES, _STARTS[order], _WHAT, "stamp"
    )
    frame_id, place = read_text(raw, place, length, _WHAT, "frame_id")
    (length,), place = read_numbers(raw, place, _LENGTHS[order], _WHAT, "format")
    description, place = read_text(raw, place, length, _WHAT, "format")
    (length,), place = read_numbers(raw, place, _LENGTHS[order], _WHAT, "data")
    picture = view_bytes(raw, place, length, _WHAT, "data")
    return FrameHeader(sec, nanosec, frame_id), CompressedPicture.read(picture, description)
