"""``header.stamp`` in the bytes of a serialised message.

A message whose first field is a ``std_msgs/Header`` starts, in plain CDR, with the 4 bytes of the
encapsulation, then ``int32 sec`` and ``uint32 nanosec``.  Reading and changing them there costs
nothing; taking a camera image apart for them would cost milliseconds.
"""

from __future__ import annotations

import struct

from jetson_detect.core.stamp_time import SECOND_NS, to_nanoseconds

_STAMP_OFFSET = 4
_STAMP_END = _STAMP_OFFSET + 8

_STAMP_FORMATS = {
    b"\x00\x00": struct.Struct(">iI"),  # plain CDR, big endian
    b"\x00\x01": struct.Struct("<iI"),  # plain CDR, little endian: what every ROS 2 writes
    b"\x00\x06": struct.Struct(">iI"),  # plain CDR version 2, big endian
    b"\x00\x07": struct.Struct("<iI"),  # plain CDR version 2, little endian
}
"""By the first two bytes, the representation identifier (RTPS 2.5, table 10.3)."""


class StampError(ValueError):
    """Bytes that hold no stamp, or a stamp that bytes cannot hold."""


def read_stamp(data: bytes) -> int:
    """Return ``header.stamp`` in nanoseconds.

    Raises
    ------
    StampError
        If the bytes are too few or not plain CDR.

    """
    seconds, nanoseconds = _stamp_format(data).unpack_from(data, _STAMP_OFFSET)
    return to_nanoseconds(seconds, nanoseconds)


def with_stamp(data: bytes, stamp_ns: int) -> bytes:
    """Return a copy whose ``header.stamp`` is ``stamp_ns`` nanoseconds; the rest is the same.

    Raises
    ------
    StampError
        If the bytes are too few or not plain CDR, or the stamp's seconds need more than 32 bits.

    """
    stamp_format = _stamp_format(data)
    seconds, nanoseconds = divmod(stamp_ns, SECOND_NS)
    try:
        stamp = stamp_format.pack(seconds, nanoseconds)
    except struct.error:
        raise StampError(
            f"stamp {stamp_ns} ns: its seconds, {seconds}, do not fit the 32 bits of a ROS time"
        ) from None
    return b"".join((data[:_STAMP_OFFSET], stamp, memoryview(data)[_STAMP_END:]))


def format_stamp(stamp_ns: int) -> str:
    """Write a stamp as ROS tools do, seconds and nine decimals: ``1700000000.033333333``."""
    sign, stamp_ns = ("-", -stamp_ns) if stamp_ns < 0 else ("", stamp_ns)
    return f"{sign}{stamp_ns // SECOND_NS}.{stamp_ns % SECOND_NS:09d}"


def _stamp_format(data: bytes) -> struct.Struct:
    if len(data) < _STAMP_END:
        raise StampError(f"{len(data)} bytes are too few for a message that starts with a header")
    try:
        return _STAMP_FORMATS[bytes(data[:2])]
    except KeyError:
        raise StampError(
            f"the message starts with 0x{bytes(data[:2]).hex()}, which is not plain CDR; "
            "only messages written by ROS 2 with CDR serialisation are understood"
        ) from None
