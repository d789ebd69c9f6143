"""Whether the running ROS encodes arrays of detections as :class:`DetectionBytes` reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from vision_msgs.msg import Detection2DArray

from jetson_detect.conversion.detection_bytes import DetectionBytes
from jetson_detect.conversion.detections import to_detection_array
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.tracked_detections import DetectionMessage
from jetson_detect.core.detections import Detections
from jetson_detect.core.tracking.camera_tracker import Tracks

_LABELS = ("cup", "ball", "traffic light")
_IDS = (1, 0, 12345)
"""Of lengths that leave the detections behind them at different places of a word."""


def difference_from_message_objects(
    serialize: Callable[[Detection2DArray], bytes] = serialize_message,
    deserialize: Callable[[bytes, type[Detection2DArray]], Detection2DArray] = deserialize_message,
) -> str | None:
    """Read and write samples both ways, once at start.

    Parameters
    ----------
    serialize:
        What the middleware makes of a message object.
    deserialize:
        The way back.

    Returns
    -------
    None if bytes say what message objects do; otherwise why these must be taken: the middleware
    encodes in another way, or the installed ``vision_msgs`` has other fields.

    """
    boxes = np.array([[1, 2, 5, 9], [3, 3, 4, 4], [7, 8, 9, 10]], np.float32)
    scores = np.array([[0.5, 0.25], [0.0, 0.0], [0.75, 0.0]], np.float32)
    classes = np.array([[0, 1], [0, 0], [2, 0]], np.int32)
    angles = np.array([0.5, 0.0, 0.25], np.float32)
    tracks = Tracks(np.array(_IDS, np.int64), np.arange(12.0).reshape(3, 4))
    for frame_id in ("eye", "camera"):
        header = FrameHeader(17, 5, frame_id).to_message()
        detections = Detections(boxes, scores, classes, angles)
        message = to_detection_array(detections, header, _LABELS)
        try:
            ours, theirs = DetectionBytes(serialize(message)), DetectionMessage(message)
            if not _same(ours, theirs):
                return "it reads other values; does the installed vision_msgs have other fields?"
            answer = ours.with_tracks(tracks, confirmed_only=False, boxes=True)
            read = deserialize(answer, Detection2DArray)
        except Exception as error:  # whatever the middleware raises, message objects are the answer
            return str(error)
        if read != theirs.with_tracks(tracks, confirmed_only=False, boxes=True):
            return "the middleware reads other values from what was written"
    return None


def _same(ours: DetectionBytes, theirs: DetectionMessage) -> bool:
    first, second = ours.observations(), theirs.observations()
    return (
        ours.stamp_ns == theirs.stamp_ns
        and first.classes == second.classes
        and np.array_equal(first.boxes, second.boxes)
        and np.array_equal(first.scores, second.scores)
        and first.angles is not None
        and second.angles is not None
        and np.array_equal(first.angles, second.angles)
    )
