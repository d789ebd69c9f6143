"""What a tracking library has to do: say which detections of successive frames are one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

UNTRACKED = -1


class TrackerUnavailableError(ValueError):
    """An algorithm that cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class AssociationOptions:
    """What an associator is told; scores are 0 to 1, overlaps are intersection over union."""

    max_missed: int
    """Frames in a row without an object after which it may be forgotten, at least 1."""
    strong_score: float = 0.4
    """Detections with at least this score are given to tracks first."""
    new_track_score: float = 0.5
    """Strong detections that belong to no track begin one from this score on."""
    min_iou: float = 0.1
    """How much a strong detection overlaps with the box that its track is expected in."""
    weak_min_iou: float = 0.5
    """The same for a weak detection, which can go on with a track but not begin one."""


class Associator(Protocol):
    """Follows objects from frame to frame; the adapter of a library has this form."""

    def update(self, boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Take the next frame, in which there may be nothing.

        Parameters
        ----------
        boxes:
            (N, 4): x_min, y_min, x_max, y_max in pixels (edges), finite, with an area.
        scores:
            (N,): greater than 0.

        Returns
        -------
        (N,): the number of each detection's track, :data:`UNTRACKED` for none.  No number stands
        twice in a frame, and none is used again for another track.

        """


MakeAssociator = Callable[[AssociationOptions], Associator]
"""Raises :class:`TrackerUnavailableError` where the algorithm cannot run."""
