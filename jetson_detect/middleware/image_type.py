"""Which of the two message types of images a topic carries."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from jetson_detect.core.camera_topic_names import COMPRESSED_SUFFIX


class ImageType(str, Enum):
    """A message type with images, by its name in the graph."""

    RAW = "sensor_msgs/msg/Image"
    COMPRESSED = "sensor_msgs/msg/CompressedImage"


IMAGE_TYPES = frozenset(each.value for each in ImageType)


def image_type(topic: str, offered: Collection[str]) -> ImageType:
    """Decide which type to subscribe to: the only place where that is decided.

    Parameters
    ----------
    topic:
        Its name; decides while nothing is offered, or both.
    offered:
        Names of the types that the graph knows for the topic.

    """
    types = {ImageType(name) for name in offered if name in IMAGE_TYPES}
    if len(types) == 1:
        return types.pop()
    return ImageType.COMPRESSED if topic.endswith(COMPRESSED_SUFFIX) else ImageType.RAW
