"""The header and the pixels of a recorded image."""

from __future__ import annotations

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.reader import BagMessage, BagReader
from jetson_detect.conversion.compressed_image import read_compressed_image
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.core.camera_topic_names import may_be_camera
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.core.pixels import Pixels

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"


def image_topics(bag: BagReader) -> list[str]:
    """Return a bag's topics of raw images; of compressed ones where there are no raw ones.

    A camera's driver publishes both of the same picture.  What detectors paint, and compressed
    depth, which is no picture, are left out unless there is nothing else.
    """
    topics = bag.topics_of_type(IMAGE) + bag.topics_of_type(COMPRESSED_IMAGE)
    cameras = [one for one in topics if may_be_camera(one)]
    chosen = cameras or topics
    raw = [one for one in chosen if bag.topics[one].type_name == IMAGE]
    return raw or chosen


def read_recorded_picture(
    message: BagMessage,
) -> tuple[FrameHeader, Pixels | CompressedPicture]:
    """Read what a camera sent as a node does; nothing is copied or decoded.

    Raises
    ------
    PixelError
        If the picture is damaged or of an encoding that is not supported.
    BagError
        If the message is no image.

    """
    if message.type_name == IMAGE:
        return read_image(message.data)
    if message.type_name == COMPRESSED_IMAGE:
        return read_compressed_image(message.data)
    raise BagError(
        f"{message.topic} is of type {message.type_name}, which holds no picture; choose topics "
        f"of {IMAGE} or {COMPRESSED_IMAGE}"
    )


def read_recorded_image(message: BagMessage) -> Pixels:
    """Read the pixels of an image; raw ones are viewed, compressed ones decoded at full size.

    Raises
    ------
    PixelError, BagError
        As :func:`read_recorded_picture`, and if the picture cannot be decoded.

    """
    _, picture = read_recorded_picture(message)
    return picture if isinstance(picture, Pixels) else picture.decode()
