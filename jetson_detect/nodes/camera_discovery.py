"""Cameras that are found in the graph by patterns of topic names."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rclpy.node import Node

from jetson_detect.core.camera_topic_names import base_topic, may_be_camera
from jetson_detect.core.topic_patterns import TopicPattern, is_pattern
from jetson_detect.middleware.image_type import IMAGE_TYPES, ImageType, image_type


class CameraDiscovery:
    """Looks for topics of images that match patterns."""

    def __init__(self, node: Node, topics: Iterable[str]) -> None:
        """Take the patterns out of names as they are configured.

        Parameters
        ----------
        node:
            Whose namespace relative patterns begin with.
        topics:
            Names and patterns; the names are let be.

        Raises
        ------
        ValueError
            If a pattern is none.

        """
        self._node = node
        self._patterns = {
            entry: TopicPattern(whole_name(node, topic))
            for entry, topic in enumerate(topics)
            if is_pattern(topic)
        }
        self._seen: set[str] = set()
        """Compressed topics of the last look."""

    @property
    def is_needed(self) -> bool:
        """Whether there are patterns."""
        return bool(self._patterns)

    def entry_of(self, topic: str) -> int:
        """Return which of the topics is the pattern that found this one, the first that matches.

        Raises
        ------
        ValueError
            If none does.

        """
        for entry, pattern in self._patterns.items():
            if pattern.matches(topic):
                return entry
        raise ValueError(f"no pattern matches {topic}")

    def find(self, known: Collection[str]) -> list[str]:
        """List matching topics that have a publisher and are not known yet, in order.

        Of a camera that publishes an image raw and compressed, raw is taken: what is compressed is
        listed when it has been there for two looks, and raw has not come.

        Parameters
        ----------
        known:
            Whole names, of cameras or of what is published by them.

        """
        if not self._patterns:
            return []
        offered = {
            topic: types
            for topic, types in self._node.get_topic_names_and_types()
            if not IMAGE_TYPES.isdisjoint(types)
            and may_be_camera(topic)
            and any(pattern.matches(topic) for pattern in self._patterns.values())
        }
        found = []
        compressed = set()
        for topic, types in sorted(offered.items()):
            if topic in known or not self._node.count_publishers(topic):
                continue
            if image_type(topic, types) is ImageType.COMPRESSED:
                raw = base_topic(topic)
                if raw != topic and (raw in known or raw in offered):
                    continue
                compressed.add(topic)
                if topic not in self._seen:
                    continue
            found.append(topic)
        self._seen = compressed
        return found


def whole_name(node: Node, topic: str) -> str:
    """Resolve a name or pattern as ROS does, remapping rules excepted: they know no patterns."""
    if not is_pattern(topic):
        return str(node.resolve_topic_name(topic))
    if topic.startswith("/"):
        return topic
    if topic.startswith("~/"):
        return f"{node.get_fully_qualified_name()}/{topic[2:]}"
    return f"{node.get_namespace().rstrip('/')}/{topic}"
