"""``vision_msgs/LabelInfo`` from a model's labels."""

from __future__ import annotations

from collections.abc import Sequence

from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass


def to_label_info(header: Header, labels: Sequence[str], threshold: float) -> LabelInfo:
    """Make the message that maps class indices to labels and tells the score threshold."""
    return LabelInfo(
        header=header,
        class_map=[
            VisionClass(class_id=index, class_name=label) for index, label in enumerate(labels)
        ],
        threshold=threshold,
    )
