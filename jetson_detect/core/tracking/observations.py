"""What a detector found in one frame, as a tracker takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections


@dataclass(frozen=True, eq=False)
class Observations:
    """The objects of one frame, in the order of their message."""

    boxes: NDArray[np.float64]
    """(N, 4): x_min, y_min, x_max, y_max in pixels of the image (edges), before any rotation."""
    scores: NDArray[np.float64]
    """(N,): of each object's best hypothesis, 0 to 1; 0 for an object without one."""
    classes: tuple[str, ...]
    """N names, of the best hypotheses; empty for an object without one."""
    angles: NDArray[np.float64] | None = None
    """(N,): by how much each box is turned about its centre, radians; None if none is."""

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def upright_boxes(self) -> NDArray[np.float64]:
        """(N, 4): the smallest upright boxes that hold the objects' boxes."""
        if self.angles is None:
            return self.boxes
        turned = Detections(
            self.boxes.astype(np.float32),
            self.scores.astype(np.float32)[:, None],
            np.zeros((len(self), 1), np.int32),
            self.angles.astype(np.float32),
        )
        return turned.upright().boxes.astype(np.float64)

    def usable(self) -> NDArray[np.bool_]:
        """(N,): which objects can be followed: finite numbers, boxes with an area, a score."""
        finite = np.isfinite(self.boxes).all(axis=1) & np.isfinite(self.scores)
        if self.angles is not None:
            finite &= np.isfinite(self.angles)
        with np.errstate(invalid="ignore"):
            has_area = (self.boxes[:, 2:] > self.boxes[:, :2]).all(axis=1)
            usable: NDArray[np.bool_] = finite & has_area & (self.scores > 0.0)
        return usable
