"""Annotated frames written into a folder, for people."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import draw_detections, to_bgr
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.watch_log import SeenFrame

_SAVES_WAITING = 32
_TRUTH_COLOR = (255, 255, 255)


def annotate(
    image: NDArray[np.uint8], detections: Detections, truth: Detections | None, names: list[str]
) -> NDArray[np.uint8]:
    """Paint detections, and thin white the truth, on a BGR image in place, and return it."""
    draw_detections(image, detections, names)
    for box in () if truth is None else truth.boxes:
        left, top, right, bottom = (round(float(value)) for value in box)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), _TRUTH_COLOR, 1)
    return image


class FrameSaver:
    """Writes annotated frames into a folder, in a thread of its own.

    Painting and encoding take many milliseconds, which the answers that come meanwhile must not
    wait.
    """

    def __init__(
        self,
        folder: Path,
        to_pixels: Callable[[Any], Pixels],
        every: int = 10,
        suffix: str = ".jpg",
    ) -> None:
        """Make the folder if need be.

        Args:
            folder: for files ``frame_000120.jpg``, named by the answer's number.
            to_pixels: views a frame's image, of whatever type it is; called in that thread, and
                may raise ``PixelError``.
            every: one in so many frames is written.
            suffix: of a format that OpenCV writes.

        Raises
        ------
        OSError
            If the folder cannot be made.

        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._to_pixels = folder, to_pixels
        self._every, self._suffix = every, suffix
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._pending: deque[Future[Path]] = deque()
        self.skipped = 0
        """Frames not written because too many waited."""
        self.paths: list[Path] = []
        """The files written."""
        self.errors: list[str] = []

    def save(self, frame: SeenFrame, names: Collection[str]) -> None:
        """Write a frame if it is its turn."""
        if frame.number % self._every:
            return
        self._collect(wait=False)
        if len(self._pending) >= _SAVES_WAITING:
            self.skipped += 1
            return
        self._pending.append(self._worker.submit(self._write, frame, list(names)))

    def close(self) -> None:
        """Wait until all is written."""
        self._collect(wait=True)
        self._worker.shutdown()

    def _write(self, frame: SeenFrame, names: list[str]) -> Path:
        image = to_bgr(self._to_pixels(frame.image))
        path = self._folder / f"frame_{frame.number:06d}{self._suffix}"
        if not cv2.imwrite(str(path), annotate(image, frame.detections, frame.truth, names)):
            raise OSError(f"{path} cannot be written; is the disk full?")
        return path

    def _collect(self, wait: bool) -> None:
        while self._pending and (wait or self._pending[0].done()):
            try:
                self.paths.append(self._pending.popleft().result())
            except (OSError, PixelError, cv2.error) as error:
                self.errors.append(str(error))
