"""ByteTrack (Zhang et al., ECCV 2022, arXiv 2110.06864), as the library trackforge has it.

trackforge (MIT) is a compiled module without dependencies; docs/tracking.md tells why it was taken.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.tracking.associator import (
    UNTRACKED,
    AssociationOptions,
    TrackerUnavailableError,
)

_REMEDY = "install it: pip install 'trackforge>=0.4,<0.5' (requirements/tracking.txt)"
_TRACK_FIELDS = 5
"""Number, box, score, class, and the row of the detection that it was given."""


class ByteTrack:
    """Gives strong detections to tracks first, then weak ones to those that are still without.

    Positions are predicted by a Kalman filter, one step a frame.
    """

    def __init__(self, options: AssociationOptions) -> None:
        """Begin without a track.

        Raises
        ------
        TrackerUnavailableError
            If the library is not there, or not the one that this was written for.

        """
        self._tracker = _library().BYTETRACK(
            track_thresh=options.strong_score,
            det_thresh=options.new_track_score,
            track_buffer=options.max_missed,
            # It takes distances, 1 - IoU.
            match_thresh=1.0 - options.min_iou,
            second_match_thresh=1.0 - options.weak_min_iou,
        )

    def update(self, boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Take the next frame; see :class:`~jetson_detect.core.tracking.associator.Associator`."""
        corners_and_sizes = boxes.copy()
        corners_and_sizes[:, 2:] -= boxes[:, :2]
        one_class = 0
        tracks = self._tracker.update(
            [
                (box, score, one_class)
                for box, score in zip(corners_and_sizes.tolist(), scores.tolist())
            ]
        )
        numbers = np.full(len(boxes), UNTRACKED, np.int64)
        for number, _box, _score, _class, row in tracks:
            if row is not None:
                numbers[row] = number
        return numbers


@cache
def _library() -> Any:
    try:
        trackforge = import_module("trackforge")
    except Exception as error:  # one that does not fit this machine raises much else
        raise TrackerUnavailableError(
            f"algorithm 'bytetrack' needs trackforge, which cannot be imported "
            f"({type(error).__name__}: {error}); {_REMEDY}"
        ) from error
    # Older ones have another name for it, or do not tell which detection a track was given.
    made = trackforge.BYTETRACK() if hasattr(trackforge, "BYTETRACK") else None
    if made is None or len(made.update([([0.0, 0.0, 1.0, 1.0], 1.0, 0)])[0]) != _TRACK_FIELDS:
        raise TrackerUnavailableError(
            f"algorithm 'bytetrack' needs trackforge 0.4, and {trackforge.__file__} is another; "
            f"{_REMEDY}"
        )
    return trackforge
