"""The stamp of serialised messages."""

from __future__ import annotations

import struct
from typing import Any

_STAMP = struct.Struct("<iI")
_STAMP_AT = 4
"""Behind the encapsulation header, where each message that begins with a Header has its stamp."""


def put_stamp(message: Any, sec: int, nanosec: int) -> None:
    """Write the stamp of a serialised message that begins with a ``std_msgs/Header``.

    Parameters
    ----------
    message:
        A writable buffer, CDR little endian with its encapsulation header.
    sec, nanosec:
        The stamp, as in ``builtin_interfaces/Time``.

    """
    _STAMP.pack_into(message, _STAMP_AT, sec, nanosec)


def get_stamp(message: Any) -> tuple[int, int]:
    """Return the stamp of such a message: seconds and nanoseconds."""
    sec, nanosec = _STAMP.unpack_from(message, _STAMP_AT)
    return sec, nanosec
