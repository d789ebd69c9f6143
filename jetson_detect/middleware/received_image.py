"""An image as it came from the middleware."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ReceivedImage(NamedTuple):
    """The members of ``sensor_msgs/Image``, its header's among them.

    Attributes
    ----------
    sec, nanosec, frame_id
        Header: when and in which coordinate frame the image was taken.
    height, width
        Size in pixels.
    encoding
        Name of ``sensor_msgs/image_encodings.hpp``.
    is_bigendian
        Whether the higher byte of 16-bit numbers is the first.
    step
        Bytes from the start of one row to the next.
    data
        (N,) uint8, read-only.

    """

    sec: int
    nanosec: int
    frame_id: str
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: NDArray[np.uint8]
