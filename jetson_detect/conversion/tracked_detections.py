"""``vision_msgs/Detection2DArray`` to what a tracker takes, and its ids into the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from vision_msgs.msg import Detection2DArray

from jetson_detect.core.stamp_time import to_nanoseconds
from jetson_detect.core.tracking.camera_tracker import NO_ID, Tracks
from jetson_detect.core.tracking.observations import Observations


class TrackableArray(Protocol):
    """An array of detections, however it is held."""

    stamp_ns: int
    """When the frame was taken, in nanoseconds."""

    def observations(self) -> Observations:
        """Read the objects, in their order."""

    def with_tracks(
        self, tracks: Tracks, *, confirmed_only: bool, boxes: bool
    ) -> bytes | Detection2DArray:
        """Return what is to be published."""


class DetectionMessage:
    """A message object."""

    def __init__(self, message: Detection2DArray) -> None:
        """Take a message of any detector; :meth:`with_tracks` changes it."""
        self._message = message
        stamp = message.header.stamp
        self.stamp_ns: int = to_nanoseconds(stamp.sec, stamp.nanosec)

    def observations(self) -> Observations:
        """Read the objects, in their order.

        The class is the ``class_id`` of the hypothesis with the highest score, whatever it holds.
        """
        rows, scores, classes = [], [], []
        for detection in self._message.detections:
            box, center = detection.bbox, detection.bbox.center
            rows.append(
                (center.position.x, center.position.y, box.size_x, box.size_y, center.theta)
            )
            best = max(
                (result.hypothesis for result in detection.results),
                key=lambda hypothesis: hypothesis.score,
                default=None,
            )
            scores.append(best.score if best is not None else 0.0)
            classes.append(best.class_id if best is not None else "")
        return observations_from_rows(rows, scores, classes)

    def with_tracks(self, tracks: Tracks, *, confirmed_only: bool, boxes: bool) -> Detection2DArray:
        """Return the message with ids, everything else in it as it came.

        Parameters
        ----------
        tracks:
            In the order of the message's detections.
        confirmed_only:
            Whether detections without an id are taken out; else their ``id`` is empty.
        boxes:
            Whether the boxes of confirmed tracks are written too, as smoothed; rotations stay.

        """
        message = self._message
        for detection, track_id, edges in zip(
            message.detections, tracks.ids.tolist(), tracks.boxes.tolist()
        ):
            detection.id = id_text(track_id)
            if boxes and detection.id:
                x_min, y_min, x_max, y_max = edges
                box, position = detection.bbox, detection.bbox.center.position
                position.x, position.y = (x_min + x_max) / 2, (y_min + y_max) / 2
                box.size_x, box.size_y = x_max - x_min, y_max - y_min
        if confirmed_only:
            message.detections = [each for each in message.detections if each.id]
        return message


def id_text(track_id: int) -> str:
    """Return what ``Detection2D.id`` holds: the number in decimal, empty for none."""
    return str(track_id) if track_id != NO_ID else ""


def observations_from_rows(
    rows: Sequence[tuple[float, ...]], scores: Sequence[float], classes: Sequence[str]
) -> Observations:
    """Make the observations of boxes as messages have them: centre x, y, width, height, angle."""
    numbers = np.array(rows, np.float64).reshape(-1, 5)
    centers, half_sizes, angles = numbers[:, :2], numbers[:, 2:4] / 2, numbers[:, 4]
    return Observations(
        np.hstack([centers - half_sizes, centers + half_sizes]),
        np.array(scores, np.float64),
        tuple(classes),
        angles if angles.any() else None,
    )
