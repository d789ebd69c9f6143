"""``vision_msgs/Detection2DArray`` and detections."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections


class ClassIdFormat(str, Enum):
    """What ``ObjectHypothesis.class_id``, a string, holds."""

    LABEL = "label"
    """The label of model.yaml: ``ball``."""
    INDEX = "index"
    """The class's index into the labels, in decimal: ``0``.  LabelInfo maps it to the label."""


def to_detection_array(
    detections: Detections,
    header: Header,
    labels: Sequence[str],
    class_id_format: ClassIdFormat = ClassIdFormat.LABEL,
) -> Detection2DArray:
    """Make the message of one image.

    The header is the image's, in the array and in each detection.  Boxes are centre and full size
    in pixels of the image, ``theta`` turns them about the centre, x towards y (clockwise as the
    image is seen).  Hypotheses come best first, those of score 0 are left out.  ``id`` is empty:
    it belongs to trackers.
    """
    message = Detection2DArray(header=header)
    centers = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    sizes = detections.boxes[:, 2:] - detections.boxes[:, :2]
    angles = np.zeros(len(detections)) if detections.angles is None else detections.angles
    rows = zip(
        centers.tolist(),
        sizes.tolist(),
        angles.tolist(),
        detections.scores.tolist(),
        detections.class_ids.tolist(),
    )
    for (x, y), (width, height), angle, scores, class_ids in rows:
        detection = Detection2D(header=header)
        box = detection.bbox
        box.center.position.x, box.center.position.y, box.center.theta = x, y, angle
        box.size_x, box.size_y = width, height
        for score, class_id in zip(scores, class_ids):
            if score > 0.0:
                hypothesis = ObjectHypothesisWithPose()
                hypothesis.hypothesis.class_id = class_name(class_id, labels, class_id_format)
                hypothesis.hypothesis.score = score
                detection.results.append(hypothesis)
        message.detections.append(detection)
    return message


def from_detection_array(message: Detection2DArray, labels: Sequence[str]) -> Detections:
    """Read a message back; classes may be labels or indices.  One hypothesis an object is kept.

    An unknown class gets the index -1; an object without a hypothesis is left out.  There are
    angles only if a box is turned.
    """
    index_of = {label: index for index, label in enumerate(labels)}
    boxes, scores, class_ids, angles = [], [], [], []
    for detection in message.detections:
        if not detection.results:
            continue
        best = max(detection.results, key=lambda result: result.hypothesis.score).hypothesis
        box = detection.bbox
        x, y = box.center.position.x, box.center.position.y
        half_width, half_height = box.size_x / 2, box.size_y / 2
        boxes.append((x - half_width, y - half_height, x + half_width, y + half_height))
        angles.append(box.center.theta)
        scores.append(best.score)
        fallback = int(best.class_id) if best.class_id.isdecimal() else -1
        class_ids.append(index_of.get(best.class_id, fallback))
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4)[order],
        np.asarray(scores, np.float32)[order, None],
        np.asarray(class_ids, np.int32)[order, None],
        np.asarray(angles, np.float32)[order] if any(angles) else None,
    )


def class_name(class_id: int, labels: Sequence[str], class_id_format: ClassIdFormat) -> str:
    """Return what ``ObjectHypothesis.class_id`` holds for a class.

    A class beyond the labels is published by its index in either format.
    """
    if class_id_format is ClassIdFormat.LABEL and 0 <= class_id < len(labels):
        return labels[class_id]
    return str(class_id)


def named_detections(message: Detection2DArray, names: ClassNames) -> Detections:
    """Read a message back whose classes may be called anything; changes the message.

    Returns
    -------
    Classes are indices into ``names``; those that were not known are from then on.

    """
    for detection in message.detections:
        for result in detection.results:
            result.hypothesis.class_id = names.name(result.hypothesis.class_id)
    return from_detection_array(message, names.names)
