"""Why a camera that is there sends nothing."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from jetson_detect.middleware.image_type import ImageType
from jetson_detect.transport import shared_memory_environment


def silence_reasons(
    node: Node, topic: str, wanted: QoSProfile, image_type: ImageType, *, has_sent: bool
) -> tuple[int, tuple[str, ...]]:
    """Ask the graph what may keep images from arriving.

    Parameters
    ----------
    node:
        Whose graph it is.
    topic:
        A whole name.
    wanted, image_type:
        What is subscribed to.
    has_sent:
        Whether images have arrived before.

    Returns
    -------
    How many publishers there are, and what may be wrong, with the remedies; nothing if there is no
    publisher.

    """
    offers = node.get_publishers_info_by_topic(topic)
    if not offers:
        return 0, ()
    other_types = sorted({offer.topic_type for offer in offers} - {image_type.value})
    reasons = [
        *(f"it publishes {name}, not {image_type.value}" for name in other_types),
        *sorted({text for offer in offers for text in _mismatches(offer.qos_profile, wanted)}),
    ]
    if not reasons and has_sent:
        reasons.append("images came before: the camera's process hangs, or waits for the camera")
    elif not reasons:
        name, path = next(iter(shared_memory_environment().items()))
        reasons.append(
            "the image may be larger than the middleware's shared memory (512 KB for Fast "
            f"DDS): start the camera's process with {name}={path}"
        )
    return len(offers), tuple(reasons)


def _mismatches(offered: QoSProfile, wanted: QoSProfile) -> list[str]:
    """Why a publisher with this profile is never matched with our subscription."""
    mismatches = []
    if (
        wanted.reliability == ReliabilityPolicy.RELIABLE
        and offered.reliability == ReliabilityPolicy.BEST_EFFORT
    ):
        mismatches.append("it sends best effort: set image_qos.reliability to best_effort")
    if (
        wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL
        and offered.durability == DurabilityPolicy.VOLATILE
    ):
        mismatches.append("it is not latched: set image_qos.durability to volatile")
    return mismatches
