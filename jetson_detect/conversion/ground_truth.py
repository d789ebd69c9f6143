"""``vision_msgs/Detection2DArray`` from what was drawn."""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.conversion.detections import to_detection_array
from jetson_detect.core.detections import Detections
from jetson_detect.core.scenes import CLASS_NAMES, Scene


def ground_truth(scene: Scene, header: Header) -> Detection2DArray:
    """Make the message that a perfect detector and tracker would send for a scene.

    ``class_id`` is the label, the score is 1, ``Detection2D.id`` is the object's number.
    """
    truth = Detections.from_best(
        scene.boxes, np.ones(len(scene.boxes), np.float32), scene.class_ids.astype(np.int32)
    )
    message = to_detection_array(truth, header, CLASS_NAMES)
    for detection, object_id in zip(message.detections, scene.object_ids.tolist()):
        detection.id = str(object_id)
    return message
