"""Where each camera's answers go."""

from __future__ import annotations

from collections import Counter

from jetson_detect.core.camera_topic_names import namespace_beside
from jetson_detect.core.topic_patterns import is_pattern
from jetson_detect.nodes.detector_config import DetectorConfig


def output_namespaces(config: DetectorConfig) -> tuple[str, ...]:
    """Return one namespace for each image topic: as configured, else beside its images.

    The one of a pattern means nothing: what it finds is answered beside the images.

    Raises
    ------
    ValueError
        If two cameras would publish on the same topics.

    """
    topics = config.image_topics
    namespaces = config.output_namespaces
    if not namespaces:
        namespaces = tuple(map(namespace_beside, topics))
    elif len(namespaces) != len(topics):
        raise ValueError(
            f"parameter 'output_namespaces' has {len(namespaces)} entries for "
            f"{len(topics)} image_topics; give one for each, or none"
        )
    named = [each for each in zip(topics, namespaces) if not is_pattern(each[0])]
    counts = Counter(namespace for _, namespace in named)
    shared = [namespace for namespace, count in counts.items() if count > 1]
    if shared:
        sharing = [topic for topic, namespace in named if namespace == shared[0]]
        raise ValueError(
            f"the answers to {' and '.join(sharing)} would share the topic "
            f"{shared[0]}/detections; give each camera one of its own in 'output_namespaces'"
        )
    for topic, namespace in zip(topics, config.output_namespaces):
        if is_pattern(topic) and namespace:
            raise ValueError(
                f"parameter 'output_namespaces' has '{namespace}' for the pattern {topic}, which "
                "may find several cameras; leave it empty (''): each is answered beside its images"
            )
    return tuple(namespace.rstrip("/") for namespace in namespaces)
