"""A short bag of drawn scenes, with the ground truth beside the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from jetson_detect.bags.writer import BagWriter
from jetson_detect.conversion.ground_truth import ground_truth
from jetson_detect.conversion.images import ImageWriter
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.stamp_time import SECOND_NS

IMAGE_TOPIC = "/camera/image_raw"
GROUND_TRUTH_TOPIC = "/camera/ground_truth"


@dataclass(frozen=True)
class DemoBagConfig:
    """What the demo bag holds."""

    frames: int = 200
    fps: float = 30.0
    width: int = 640
    height: int = 480
    """Of the images, pixels."""
    seed: int = 7
    """The same seed gives the same pictures."""
    storage: str = "mcap"
    """Or ``sqlite3``."""
    frame_id: str = "camera"
    start_ns: int = 1_700_000_000 * SECOND_NS
    """Stamp of the first frame; fixed, so that the same arguments give the same bag."""


def write_demo_bag(
    path: str | Path,
    config: DemoBagConfig,
    overwrite: bool = False,
    on_frame: Callable[[int], None] = lambda number: None,
) -> None:
    """Write the bag; it appears when it is whole.

    Parameters
    ----------
    path
        The bag's folder.
    config
        What it holds.
    overwrite
        Replace a bag that is there.
    on_frame
        Called with the number of each frame before it is drawn; may raise to break off.

    Raises
    ------
    BagError
        If something is in the way or cannot be written.
    ValueError
        If the configuration cannot be drawn.

    """
    with BagWriter(path, config.storage, overwrite) as bag:
        bag.add_topic(IMAGE_TOPIC, "sensor_msgs/msg/Image")
        bag.add_topic(GROUND_TRUTH_TOPIC, "vision_msgs/msg/Detection2DArray")
        sequence = SceneSequence(config.seed, config.width, config.height)
        to_message = ImageWriter()
        for number in range(config.frames):
            on_frame(number)
            scene = sequence.frame(number)
            stamp = config.start_ns + round(number * SECOND_NS / config.fps)
            seconds, nanoseconds = divmod(stamp, SECOND_NS)
            header = Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=config.frame_id)
            # The truth comes first: whoever has the image has what it is compared with.
            truth = ground_truth(scene, header)
            bag.write(GROUND_TRUTH_TOPIC, stamp, serialize_message(truth))
            bag.write(IMAGE_TOPIC, stamp, serialize_message(to_message(scene.image, header)))
