"""The objects of one camera: which are confirmed, which are gone, what they are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.stamp_time import SECOND_NS
from jetson_detect.core.tracking.associator import (
    UNTRACKED,
    AssociationOptions,
    Associator,
    MakeAssociator,
)
from jetson_detect.core.tracking.frame_clock import FrameClock
from jetson_detect.core.tracking.observations import Observations

NO_ID = 0
"""Of a detection that belongs to no track, or to one that is not confirmed yet."""

_FASTEST_PERIOD_NS = SECOND_NS // 120
"""What is taken for a frame's while nothing is known: nothing must be forgotten too early."""

_NO_BOXES: NDArray[np.float64] = np.zeros((0, 4))
_NO_SCORES: NDArray[np.float64] = np.zeros(0)
_ALL_CLASSES = ""


@dataclass(frozen=True)
class TrackingConfig:
    """How objects are followed."""

    strong_score: float = AssociationOptions.strong_score
    new_track_score: float = AssociationOptions.new_track_score
    min_iou: float = AssociationOptions.min_iou
    weak_min_iou: float = AssociationOptions.weak_min_iou
    """These four as in :class:`~jetson_detect.core.tracking.associator.AssociationOptions`."""
    max_age_s: float = 1.0
    """Seconds that an object may be unseen, by the frames' stamps, and keep its id.  While those
    stand still frames count, at the camera's rate."""
    min_hits: int = 2
    """Frames in which an object was seen, before its track is confirmed."""
    per_class: bool = True
    """Whether a detection only belongs to a track of its own class."""
    frame_rate: float = 0.0
    """Of the camera, frames a second; 0 to learn it from the stamps."""


class Tracks(NamedTuple):
    """What became of one frame's objects."""

    ids: NDArray[np.int64]
    """(N,): the id of each object's confirmed track, from 1 on, else :data:`NO_ID`."""
    boxes: NDArray[np.float64]
    """(N, 4): x_min, y_min, x_max, y_max in pixels, smoothed as far as that was asked for."""


@dataclass
class _Track:
    seen_ns: int
    seen_frame: int
    box: NDArray[np.float64]
    hits: int = 0
    id: int = NO_ID


@dataclass
class _Group:
    """Objects that are told apart by place alone: those of one class, or all."""

    associator: Associator
    tracks: dict[int, _Track] = field(default_factory=dict)
    """By the associator's number."""


class CameraTracker:
    """Follows the objects of one camera.  Not for several threads at a time.

    An id is never used again, not even after a jump back in time.
    """

    def __init__(self, config: TrackingConfig, make_associator: MakeAssociator) -> None:
        """Begin without a track.

        Parameters
        ----------
        config:
            How objects are followed.
        make_associator:
            The algorithm; called for each class that is seen, or once for all.

        """
        self._config = config
        self._make_associator = make_associator
        self._max_age_ns = round(config.max_age_s * SECOND_NS)
        self._clock = FrameClock(config.frame_rate)
        self._groups: dict[str, _Group] = {}
        self._frames = 0
        self.ids_given = 0
        """How many tracks have been confirmed."""
        self.resets = 0
        """How often time has jumped back."""

    @property
    def confirmed(self) -> int:
        """Tracks that have an id and are not gone."""
        return sum(
            track.id != NO_ID for group in self._groups.values() for track in group.tracks.values()
        )

    def update(self, stamp_ns: int, seen: Observations, smoothing: float = 0.0) -> Tracks:
        """Take the next frame.

        Parameters
        ----------
        stamp_ns:
            When it was taken, nanoseconds.  Frames that are missing before it age the tracks; a
            jump back forgets them all.
        seen:
            What the detector found, which may be nothing.
        smoothing:
            Share of a track's former box that is kept, at least 0 and less than 1.

        """
        self._frames += 1
        missed, went_back = self._clock.advance(stamp_ns)
        if went_back:
            self._groups.clear()
            self.resets += 1
        self._forget(stamp_ns)
        tracks = Tracks(np.full(len(seen), NO_ID, np.int64), seen.boxes.copy())
        rows_of = self._rows_by_group(seen)
        upright = seen.upright_boxes
        for group in self._groups.values():
            for _ in range(missed):
                group.associator.update(_NO_BOXES, _NO_SCORES)
        for name in {**self._groups, **rows_of}:  # a dict: the order is that of first sight
            group = self._groups.get(name) or self._add_group(name)
            rows = rows_of.get(name, [])
            numbers = group.associator.update(upright[rows], seen.scores[rows]).tolist()
            for row, number in zip(rows, numbers):
                if number != UNTRACKED:
                    self._hit(group, number, stamp_ns, row, tracks, smoothing)
            if not group.tracks:  # it holds nothing but what is gone
                del self._groups[name]
        return tracks

    def _hit(
        self,
        group: _Group,
        number: int,
        stamp_ns: int,
        row: int,
        tracks: Tracks,
        smoothing: float,
    ) -> None:
        """Go on with a track, or begin one."""
        track = group.tracks.get(number)
        if track is None:
            track = group.tracks[number] = _Track(stamp_ns, self._frames, tracks.boxes[row].copy())
        track.seen_ns, track.seen_frame = stamp_ns, self._frames
        track.hits += 1
        if track.id == NO_ID and track.hits >= self._config.min_hits:
            self.ids_given += 1
            track.id = self.ids_given
        tracks.ids[row] = track.id
        if smoothing > 0.0 and track.id != NO_ID:
            tracks.boxes[row] += smoothing * (track.box - tracks.boxes[row])
        track.box = tracks.boxes[row].copy()

    def _forget(self, stamp_ns: int) -> None:
        """End the tracks of objects that were not seen for too long.

        An associator may know them for longer, as it counts frames: who comes back is another.
        Frames are all there is to count while stamps stand still (0 of a camera without a clock).
        """
        standing, frames = self._clock.standing, self._frames
        max_standing = self._max_age_ns // self._period_ns
        for name, group in list(self._groups.items()):
            group.tracks = {
                number: track
                for number, track in group.tracks.items()
                if stamp_ns - track.seen_ns <= self._max_age_ns
                and min(standing, frames - track.seen_frame) <= max_standing
            }
            if not group.tracks:
                del self._groups[name]

    @property
    def _period_ns(self) -> int:
        return self._clock.period_ns or _FASTEST_PERIOD_NS

    def _rows_by_group(self, seen: Observations) -> dict[str, list[int]]:
        rows_of: dict[str, list[int]] = {}
        for row in np.flatnonzero(seen.usable()).tolist():
            name = seen.classes[row] if self._config.per_class else _ALL_CLASSES
            rows_of.setdefault(name, []).append(row)
        return rows_of

    def _add_group(self, name: str) -> _Group:
        config = self._config
        options = AssociationOptions(
            max_missed=self._max_age_ns // self._period_ns + 1,
            strong_score=config.strong_score,
            new_track_score=config.new_track_score,
            min_iou=config.min_iou,
            weak_min_iou=config.weak_min_iou,
        )
        group = self._groups[name] = _Group(self._make_associator(options))
        return group
