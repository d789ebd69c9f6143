"""The pictures of a bag's image topic, ready for a detector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.recorded_image import COMPRESSED_IMAGE, IMAGE, read_recorded_image
from jetson_detect.core.pixels import PixelError, Pixels


class BagPictures:
    """The pictures of one topic; iterated over as often as wanted, one in memory at a time."""

    def __init__(self, bag: str | Path, topic: str = "") -> None:
        """Open a bag and choose a topic.

        Parameters
        ----------
        bag:
            A rosbag2 folder or file.
        topic:
            Of ``sensor_msgs/Image`` or ``CompressedImage``; may be left out where there is one.

        Raises
        ------
        BagError
            If the bag cannot be read, or it is not clear which topic is meant.

        """
        self.path = Path(bag).expanduser()
        with BagReader(self.path) as reader:
            found = [*reader.topics_of_type(IMAGE), *reader.topics_of_type(COMPRESSED_IMAGE)]
            if not topic and len(found) == 1:
                topic = found[0]
            if topic not in found:
                problem = f"'{topic}' is no topic of images" if topic else "name the topic"
                raise BagError(
                    f"{self.path}: {problem}: there are "
                    f"{', '.join(found) or 'none'}; the bag has\n{reader.describe_topics()}"
                )
            self.topic = topic
            self._count = reader.topics[topic].count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Pixels]:
        """Read the pictures in the order of recording.

        Raises
        ------
        BagError
            If the bag is damaged, or a picture in it cannot be read.

        """
        with BagReader(self.path) as reader:
            for number, message in enumerate(reader.messages([self.topic])):
                try:
                    yield read_recorded_image(message)
                except PixelError as error:
                    raise BagError(f"{self.path}: {self.topic}, picture {number}: {error}") from (
                        error
                    )
