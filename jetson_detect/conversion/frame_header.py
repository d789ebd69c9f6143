"""When and where a frame was taken, without a message object."""

from __future__ import annotations

from typing import NamedTuple

from std_msgs.msg import Header


class FrameHeader(NamedTuple):
    """What ``std_msgs/Header`` says, immutable, hashable and cheap to make.

    Attributes
    ----------
    sec
        Seconds of the stamp, as in ``builtin_interfaces/Time`` (int32).
    nanosec
        Nanoseconds of the stamp, 0 to 999,999,999 (uint32).
    frame_id
        Name of the coordinate frame.

    """

    sec: int
    nanosec: int
    frame_id: str

    def to_message(self) -> Header:
        """Return a new ``std_msgs/Header`` with the same values."""
        header = Header(frame_id=self.frame_id)
        header.stamp.sec = self.sec
        header.stamp.nanosec = self.nanosec
        return header
