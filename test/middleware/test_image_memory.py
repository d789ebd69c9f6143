from __future__ import annotations

import array
import weakref

import numpy as np
import pytest
from sensor_msgs.msg import Image

from jetson_detect.middleware import image_memory
from jetson_detect.middleware.image_memory import ImageMemory, ImageSlots, load_typesupport
from jetson_detect.middleware.rcl_library import RclUnavailableError


@pytest.fixture
def slots() -> ImageSlots:
    return ImageSlots(load_typesupport())


def fill(image: ImageMemory, value: int, **members: object) -> None:
    message = Image(data=array.array("B", [value] * 1000), **members)
    assert load_typesupport().fill(message, image.address)


def test_a_c_image_is_read(slots):
    image = slots.acquire()
    message = Image(height=2, width=3, encoding="mono8", step=4, data=array.array("B", range(8)))
    message.is_bigendian = 1
    message.header.stamp.sec, message.header.stamp.nanosec = -5, 4_294_967_295
    message.header.frame_id = "vorn-ü"
    assert load_typesupport().fill(message, image.address)
    *members, data = slots.view(image)
    assert members == [-5, 4_294_967_295, "vorn-ü", 2, 3, "mono8", True, 4]
    assert (data.dtype, data.tolist()) == (np.uint8, list(range(8)))


def test_an_empty_image_is_read(slots):
    *members, data = slots.view(slots.acquire())
    assert members == [0, 0, "", 0, 0, "", False, 0]
    assert data.size == 0


def test_received_bytes_cannot_be_written(slots):
    image = slots.acquire()
    fill(image, 7)
    with pytest.raises(ValueError, match="read-only"):
        slots.view(image).data[0] = 1


@pytest.mark.parametrize(
    "look",
    [
        lambda data: data,
        lambda data: data[10:20],
        lambda data: data[:300].reshape(10, 10, 3)[2:],
        lambda data: memoryview(data)[5:],
        lambda data: np.frombuffer(memoryview(data)[5:], np.uint8),
        lambda data: np.lib.stride_tricks.as_strided(data, (3, 4), (100, 1)),
    ],
)
def test_memory_is_used_again_once_the_last_view_is_gone(slots, look):
    image = slots.acquire()
    fill(image, 7)
    view = look(slots.view(image).data)
    other = slots.acquire()
    assert other is not image
    fill(other, 8)
    assert set(np.asarray(view).ravel().tolist()) == {7}
    del view
    assert slots.acquire() is image


def test_the_image_used_last_is_used_next(slots):
    images = [slots.acquire() for _ in range(3)]
    for image in images:
        slots.release(image)
    assert slots.acquire() is images[-1]


def test_memory_of_a_burst_is_given_back(slots):
    images = [slots.acquire() for _ in range(10)]
    gone = [weakref.ref(image) for image in images[:6]]
    kept = images[6:]
    views = [slots.view(image) for image in images]
    del images
    while views:
        views.pop(0)
    assert [image() for image in gone] == [None] * 6
    assert [slots.acquire() for _ in kept] == kept[::-1]


def test_views_outlive_their_slots(slots):
    image = slots.acquire()
    fill(image, 9)
    data = slots.view(image).data
    del slots, image
    assert set(data.tolist()) == {9}


def test_another_layout_is_noticed(monkeypatch):
    members = list(image_memory._ImageStructure._fields_)
    members[3], members[4] = members[4], members[3]
    other = type("Other", (image_memory.ctypes.Structure,), {"_fields_": members})
    monkeypatch.setattr(image_memory, "_ImageStructure", other)
    load_typesupport.cache_clear()
    with pytest.raises(RclUnavailableError, match="sensor_msgs__msg__Image is laid out differ"):
        load_typesupport()


def test_messages_without_the_functions_of_rclpy_are_noticed(monkeypatch):
    monkeypatch.setattr(type(Image), "_CREATE_ROS_MESSAGE", None)
    load_typesupport.cache_clear()
    with pytest.raises(RclUnavailableError, match="no _CREATE_ROS_MESSAGE in its Python messages"):
        load_typesupport()
