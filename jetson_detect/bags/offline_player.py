"""Runs the images of a bag through a detector in this process, as fast as it goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from jetson_detect.bags.answers import Answer, AnswerListener, LossListener
from jetson_detect.bags.frames import Frame
from jetson_detect.bags.ledger import FrameLedger, SentFrame
from jetson_detect.bags.played_topics import Ending, PlayedCamera
from jetson_detect.bags.reader import BagMessage
from jetson_detect.bags.recorded_image import read_recorded_picture
from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detections import ClassIdFormat, class_name
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.backends import BackendError
from jetson_detect.core.camera_views import ViewedPicture, Viewer
from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.pixels import PixelError
from jetson_detect.core.selection import Selection

MAX_CONSECUTIVE_LOSSES = 3
"""So many frames without an answer in a row end a replay."""


@dataclass(frozen=True, eq=False)
class _Started:
    """A frame that the detector works on."""

    key: int
    camera: PlayedCamera
    image: BagMessage
    sent: SentFrame
    header: FrameHeader
    seen: ViewedPicture


class OfflinePlayer:
    """Gives frames to a detector and keeps account of its answers; no node, no middleware.

    Images are read, looked at (a JPEG picture is decoded only as large as the network needs it)
    and detections written by the code that the node uses, so that the answers are the node's, byte
    for byte.
    """

    def __init__(
        self,
        detector: Detector,
        selection: Selection,
        cameras: Iterable[PlayedCamera],
        ledger: FrameLedger,
        on_answer: AnswerListener = lambda answer: None,
        on_lost: LossListener = lambda frame, reason: None,
        should_stop: Callable[[], bool] = lambda: False,
        names: ClassNames | None = None,
    ) -> None:
        """Prepare.

        Parameters
        ----------
        detector
            Not closed by the player.
        selection
            Which objects are reported.
        cameras
            The topics that are played.
        ledger
            Where frames and answers are noted.
        on_answer, on_lost
            Called for each frame answered and each one lost.
        should_stop
            Asked before each frame.
        names
            Gets the model's labels; shared with whoever compares the answers.

        """
        self.names = ClassNames() if names is None else names
        """Names of the classes of the answers."""
        self.problem = ""
        """Why the replay did not finish, with a remedy."""
        self._labels = labels = detector.model.labels
        self.names.learn_labels(dict(enumerate(labels)))
        self._is_named_alike = self.names.names[: len(labels)] == list(labels)
        self._detector = detector
        self._selection = selection
        self._cameras = {camera.recorded: camera for camera in cameras}
        self._viewers = {name: Viewer() for name in self._cameras}
        self._writers = {name: DetectionWriter(labels) for name in self._cameras}
        self._ledger = ledger
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._should_stop = should_stop
        self._started: deque[_Started] = deque()
        self._losses = 0
        """Of the last frames in a row."""
        self._reason = ""
        """Of the last loss."""

    def play(self, frames: Iterable[Frame]) -> Ending:
        """Detect in all frames; returns when the last is answered or lost."""
        ending = Ending.FINISHED
        for frame in frames:
            if self._should_stop():
                ending = Ending.STOPPED
                break
            self._start(frame)
            # Before the next one is read, which would count as this one's latency.
            while len(self._started) >= self._detector.depth:
                self._finish()
            if self._losses >= MAX_CONSECUTIVE_LOSSES:
                self.problem = (
                    f"{self._losses} frames in a row were not answered, the last one for: "
                    f"{self._reason}"
                )
                ending = Ending.TOO_MANY_LOST
                break
        while self._started:
            self._finish()
        return ending

    def _start(self, frame: Frame) -> None:
        camera = self._cameras[frame.image.topic]
        sent = SentFrame(camera.published, frame.number, frame.stamp, frame.position_ns, frame.loop)
        key = self._ledger.send(sent, time.monotonic())
        try:
            header, picture = read_recorded_picture(frame.image)
            seen = self._viewers[camera.recorded].look(picture, self._detector.model.input)
            self._detector.start(seen.pixels)
        except (PixelError, BackendError) as error:
            self._lose(key, error)
        else:
            self._started.append(_Started(key, camera, frame.image, sent, header, seen))

    def _finish(self) -> None:
        one = self._started.popleft()
        try:
            detections = one.seen.to_source(self._detector.finish(self._selection))
        except BackendError as error:
            self._lose(one.key, error)
            return
        self._losses = 0
        writer = self._writers[one.camera.recorded]
        data = bytes(writer(detections, one.header, ClassIdFormat.LABEL))
        named = self._named(detections)
        ruling = self._ledger.answer(one.sent.topic, one.sent.stamp, named, time.monotonic())
        picture = one.seen.picture
        pixels = picture if picture.size == one.seen.geometry.source_size else None
        self._on_answer(
            Answer(one.camera, one.sent, one.image, named, data, ruling.latency_s, pixels)
        )

    def _lose(self, key: int, error: Exception) -> None:
        self._losses += 1
        self._reason = str(error)
        self._on_lost(self._ledger.give_up(key), self._reason)

    def _named(self, detections: Detections) -> Detections:
        """Return the detections with classes as indices into the names, not into the labels."""
        ids = detections.class_ids
        if self._is_named_alike and (not ids.size or int(ids.max()) < len(self._labels)):
            return detections
        classes, places = np.unique(ids, return_inverse=True)
        indices = [
            self.names.names.index(
                self.names.name(class_name(one, self._labels, ClassIdFormat.LABEL))
            )
            for one in classes.tolist()
        ]
        renamed = np.array(indices, np.int32)[places].reshape(ids.shape)
        return Detections(detections.boxes, detections.scores, renamed, detections.angles)
