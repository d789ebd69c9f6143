"""Images in the memory of the C typesupport, used again when nobody looks at them any more.

The middleware writes an image straight into the C structure that rclpy would convert to Python
objects: one copy, 0.4 ms at 1080p, where ``rcl_take_serialized_message`` of rmw_fastrtps makes two
(0.75 ms), as it takes by way of a buffer of its own.
"""

from __future__ import annotations

import array
import ctypes
import functools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.type_support import check_for_type_support
from sensor_msgs.msg import Image

from jetson_detect.core.reused_memory import Lease
from jetson_detect.middleware.rcl_library import RclUnavailableError
from jetson_detect.middleware.received_image import ReceivedImage

_SPARE_IMAGES = 4
"""Free images of one camera that are kept; there are more only after a burst."""


class _String(ctypes.Structure):
    """``rosidl_runtime_c__String``."""

    _fields_ = (
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )


class _Bytes(ctypes.Structure):
    """``rosidl_runtime_c__uint8__Sequence``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )


class _ImageStructure(ctypes.Structure):
    """``sensor_msgs__msg__Image``: its members in the order of the message's definition."""

    _fields_ = (
        ("sec", ctypes.c_int32),
        ("nanosec", ctypes.c_uint32),
        ("frame_id", _String),
        ("height", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("encoding", _String),
        ("is_bigendian", ctypes.c_uint8),
        ("step", ctypes.c_uint32),
        ("data", _Bytes),
    )


class Typesupport:
    """The functions by which rclpy makes, fills and destroys a C image."""

    def __init__(self) -> None:
        check_for_type_support(Image)  # loads them
        self.create = self._function("_CREATE_ROS_MESSAGE", ctypes.c_void_p)
        self.destroy = self._function("_DESTROY_ROS_MESSAGE", None, ctypes.c_void_p)
        self.fill = self._function(
            "_CONVERT_FROM_PY", ctypes.c_bool, ctypes.py_object, ctypes.c_void_p
        )

    def _function(self, name: str, *signature: Any) -> Callable[..., Any]:
        capsule = getattr(type(Image), name, None)
        if capsule is None:
            raise RclUnavailableError(f"this ROS has no {name} in its Python messages")
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        return ctypes.PYFUNCTYPE(*signature)(pointer(capsule, None))


@functools.cache
def load_typesupport() -> Typesupport:
    """Find the functions for C images, and see that these are laid out as is known here.

    Raises
    ------
    RclUnavailableError
        If they are not.

    """
    typesupport = Typesupport()
    sample = Image(height=3, width=5, encoding="bgr8", step=17, is_bigendian=1)
    sample.header.stamp.sec, sample.header.stamp.nanosec = -7, 4_000_000_000
    sample.header.frame_id = "front"
    sample.data = array.array("B", (11, 13))
    expected = (-7, 4_000_000_000, "front", 3, 5, "bgr8", True, 17, [11, 13])
    image = ImageMemory(typesupport)
    if not typesupport.fill(sample, image.address):
        raise RclUnavailableError("an image could not be converted to its C structure")
    seen = image.members
    # Sizes first: with a wrong one nothing behind the pointers may be looked at.
    sizes = (seen.frame_id.size, seen.encoding.size, seen.is_bigendian, seen.data.size)
    if sizes == (5, 4, 1, 2):
        *members, data = ImageSlots(typesupport).view(image)
        if (*members, data.tolist()) == expected:
            return typesupport
    raise RclUnavailableError("sensor_msgs__msg__Image is laid out differently here")


class ImageMemory:
    """One C image.

    Attributes
    ----------
    address
        Where it is; what rcl takes messages into.
    members, frame_id, encoding, data
        What is there.

    """

    def __init__(self, typesupport: Typesupport) -> None:
        """Make an empty image.

        Raises
        ------
        MemoryError
            If there is none left.

        """
        self._destroy = typesupport.destroy
        self.address: int | None = typesupport.create()
        if self.address is None:
            raise MemoryError("no memory for another image")
        members = _ImageStructure.from_address(self.address)
        self.members = members
        # Kept, as each look through a structure makes a new object of the structure inside.
        self.frame_id: _String = members.frame_id
        self.encoding: _String = members.encoding
        self.data: _Bytes = members.data

    def __del__(self) -> None:
        if self.address is not None:
            self._destroy(self.address)


class ImageSlots:
    """The memory of one camera: as many images as are held at the same time."""

    def __init__(self, typesupport: Typesupport) -> None:
        self._typesupport = typesupport
        self._free: deque[ImageMemory] = deque(maxlen=_SPARE_IMAGES)

    def acquire(self) -> ImageMemory:
        """Return an image that no view looks at."""
        try:
            return self._free.pop()
        except IndexError:
            return ImageMemory(self._typesupport)

    def release(self, image: ImageMemory) -> None:
        """Give back an image that has no views."""
        self._free.append(image)

    def view(self, image: ImageMemory) -> ReceivedImage:
        """Read an image; its memory is given back after the last view of its data.

        A view is any array or memoryview that was made from the data without a copy.
        """
        members = image.members
        content = image.data
        # NumPy before 2.4 takes no null pointer, not even to nothing.
        address = content.data or ctypes.addressof(members)
        data: NDArray[np.uint8] = np.asarray(
            Lease(image, self._free, address, (content.size,), True)
        )
        return ReceivedImage(
            members.sec,
            members.nanosec,
            # As rclpy does with what is not UTF-8.
            (image.frame_id.data or b"").decode(errors="replace"),
            members.height,
            members.width,
            (image.encoding.data or b"").decode(errors="replace"),
            members.is_bigendian != 0,
            members.step,
            data,
        )
