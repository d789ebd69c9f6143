"""How the picture that a network is shown lies in the image that the camera publishes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.camera_views.rectification import Rectification
from jetson_detect.core.camera_views.region import Region
from jetson_detect.core.detections import Detections


@dataclass(frozen=True, eq=False)
class ViewGeometry:
    """From the published image to the view: reduced, cut, rectified, turned."""

    source_size: tuple[int, int]
    """Width and height of the published image."""
    region: Region
    """What of it is shown, in its pixels."""
    part: Region
    """The same in the picture as it was decoded: outwards to whole pixels and colours of that."""
    reduction: int = 1
    """How many of its pixels, in each direction, became one when it was decoded."""
    quarter_turns: int = 0
    """Clockwise, 0 to 3."""
    rectification: Rectification | None = None
    shrinkage: int = 1
    """How many pixels of the part become one before it is rectified: that takes long."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the view."""
        return rotated_size(self._upright_size, self.quarter_turns)

    def to_source(self, found: Detections) -> Detections:
        """Map detections from the view to the published image.

        Exact unless the view is rectified (see :meth:`Rectification.to_source`).  Boxes are clipped
        to the region, and left out if nothing remains; turned boxes are not clipped.
        """
        if self._is_whole_image or not len(found):
            return found
        found = self._turned_back(found)
        if self.rectification is not None:
            found = self.rectification.to_source(found)
        else:
            found = _scaled(found, self.reduction, (self.part.x, self.part.y))
        return found if found.angles is not None else self._clipped(found)

    def to_picture(self, found: Detections) -> Detections:
        """Map detections from the published image to the picture as it was decoded."""
        return found if self.reduction == 1 else _scaled(found, 1 / self.reduction)

    @property
    def _upright_size(self) -> tuple[int, int]:
        """Width and height before the turn."""
        return self.part.size if self.rectification is None else self.rectification.size

    @cached_property
    def _is_whole_image(self) -> bool:
        return (
            self.region == Region.whole(self.source_size)
            and self.reduction == 1
            and not self.quarter_turns
            and self.rectification is None
        )

    def _turned_back(self, found: Detections) -> Detections:
        """Undo the turn: where clockwise x becomes height - y, and y becomes x."""
        if not self.quarter_turns:
            return found
        width, height = (float(each) for each in self._upright_size)
        corners = found.boxes.astype(np.float64)
        angles = found.angles
        if angles is not None:
            angles = _wrapped(angles - self.quarter_turns * (np.pi / 2))
            # The extents are those before the box's own turn: its centre alone moves.
            half = (corners[:, 2:] - corners[:, :2]) / 2
            corners = np.tile((corners[:, 2:] + corners[:, :2]) / 2, 2)
        x0, y0, x1, y1 = corners.T
        columns = {
            1: (y0, height - x1, y1, height - x0),
            2: (width - x1, height - y1, width - x0, height - y0),
            3: (width - y1, x0, width - y0, x1),
        }[self.quarter_turns]
        boxes = np.stack(columns, axis=1)
        if angles is not None:
            boxes += np.concatenate([-half, half], axis=1)
        return Detections(boxes.astype(np.float32), found.scores, found.class_ids, angles)

    def _clipped(self, found: Detections) -> Detections:
        region = self.region
        boxes = np.clip(
            found.boxes,
            np.array([region.x, region.y] * 2, np.float32),
            np.array([region.right, region.bottom] * 2, np.float32),
        )
        found = Detections(boxes, found.scores, found.class_ids)
        shown = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return found if shown.all() else found.take(np.flatnonzero(shown))


def rotated_size(size: tuple[int, int], quarter_turns: int) -> tuple[int, int]:
    """Width and height after so many quarter turns."""
    return (size[1], size[0]) if quarter_turns % 2 else size


def _scaled(found: Detections, factor: float, corner: tuple[int, int] = (0, 0)) -> Detections:
    """Return detections in other pixels: ``(pixels + corner) * factor``."""
    boxes = (found.boxes + np.array(corner * 2, np.float32)) * np.float32(factor)
    return Detections(boxes, found.scores, found.class_ids, found.angles)


def _wrapped(angles: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the same angles between -pi and pi."""
    wrapped = (angles.astype(np.float64) + np.pi) % (2 * np.pi) - np.pi
    return wrapped.astype(np.float32)
