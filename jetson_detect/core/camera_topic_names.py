"""What the name of a topic of images tells of it."""

from __future__ import annotations

COMPRESSED_SUFFIX = "/compressed"
"""What image_transport puts behind the name of the topic whose images it compresses."""

_NEVER_CAMERAS = ("debug_image", "compressedDepth")
"""Last parts of names: what detectors paint, also other detectors, who would paint upon what they
are painted; and depth, which is no picture."""


def base_topic(topic: str) -> str:
    """Return the name without what image_transport puts behind it: front/image_raw."""
    return topic.removesuffix(COMPRESSED_SUFFIX)


def namespace_beside(topic: str) -> str:
    """Return the namespace that holds a camera's images and all beside them; empty for a bare name.

    Then it is in the node's own namespace, as the image is.
    """
    return base_topic(topic).rpartition("/")[0]


def may_be_camera(topic: str) -> bool:
    """Whether a name is neither that of a debug image, raw or compressed, nor of depth."""
    return base_topic(topic).rpartition("/")[2] not in _NEVER_CAMERAS
