"""``sensor_msgs/Image`` as it was received, taken over by the middleware or still serialised."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.middleware.received_image import ReceivedImage

_ENCAPSULATION_BYTES = 4
_BIGENDIAN_BYTES = 1


class _Layout(NamedTuple):
    """The members of an Image between its strings."""

    to_frame_id: struct.Struct
    """Seconds, nanoseconds, length of frame_id."""
    to_encoding: struct.Struct
    """Height, width, length of encoding."""
    to_data: struct.Struct
    """Step, length of data; is_bigendian, one byte before them, means nothing to 8-bit pixels."""


_LAYOUTS = {
    bytes((0, number)): _Layout(*(struct.Struct(order + form) for form in ("iII", "III", "II")))
    for number, order in ((0, ">"), (1, "<"))
}
"""CDR_BE and CDR_LE by the representation identifier in front; the options after it say nothing
that is needed.  Every member here has at most 4 bytes, so that XCDR1 aligns to 4.  See the
DDS-XTypes specification (formal/20-02-04), 7.4 and 7.6.3.1.2."""


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
    sec, nanosec, frame_id, height, width, encoding, step, pixels = data
    return FrameHeader(sec, nanosec, frame_id), Pixels.from_buffer(
        pixels, width=width, height=height, step=step, encoding=encoding
    )


def _parse(data: Any) -> ReceivedImage:
    raw = memoryview(data)
    identifier = bytes(raw[:2])
    layout = _LAYOUTS.get(identifier)
    if layout is None:
        raise PixelError(
            f"a serialised image of {len(raw)} bytes begins with 0x{identifier.hex()}; known are "
            "0x0000 and 0x0001 (plain CDR): receive in mode 'rcl', which leaves it to the "
            "middleware to read them"
        )
    (sec, nanosec, length), place = _numbers(raw, _ENCAPSULATION_BYTES, layout.to_frame_id, "stamp")
    frame_id, place = _text(raw, place, length, "frame_id")
    (height, width, length), place = _numbers(raw, place, layout.to_encoding, "size")
    encoding, place = _text(raw, place, length, "encoding")
    (step, length), place = _numbers(raw, place + _BIGENDIAN_BYTES, layout.to_data, "step")
    if length > len(raw) - place:
        raise PixelError(
            f"a serialised image announces {length} bytes of pixels, but {len(raw) - place} follow"
        )
    pixels = np.frombuffer(raw[place : place + length], np.uint8)
    return ReceivedImage(sec, nanosec, frame_id, height, width, encoding, step, pixels)


def _numbers(
    raw: memoryview, place: int, form: struct.Struct, name: str
) -> tuple[tuple[int, ...], int]:
    """Read numbers at the next multiple of 4; return them and where they end."""
    place += -place % 4
    end = place + form.size
    if end > len(raw):
        raise _too_short(raw, name)
    return form.unpack_from(raw, place), end


def _text(raw: memoryview, place: int, length: int, name: str) -> tuple[str, int]:
    """Read a string, which is over at its first zero; return it and where its bytes end."""
    end = place + length
    if end > len(raw):
        raise _too_short(raw, name)
    text, _, _ = bytes(raw[place:end]).partition(b"\0")
    # As rclpy does with what is not UTF-8.
    return text.decode(errors="replace"), end


def _too_short(raw: memoryview, name: str) -> PixelError:
    return PixelError(f"a serialised image is over after {len(raw)} bytes, within its {name}")
