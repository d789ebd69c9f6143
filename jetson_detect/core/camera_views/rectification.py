"""The lens's distortion taken out of an image, and boxes brought back into it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.camera_views.calibration import (
    CalibrationError,
    CameraCalibration,
    DistortionModel,
)
from jetson_detect.core.camera_views.region import Region
from jetson_detect.core.detections import Detections

_SAMPLES = 8
"""Points on each side of a box, an even number: a distorted side is nearly straight between two."""
_BLOCK = 32768
"""The longest side that ``cv2.remap`` can address with its quick maps."""


@dataclass(frozen=True, eq=False)
class Rectification:
    """What a rectified view shows of one camera's images, all of the same size.

    Points are edges of pixels, as everywhere here: the first pixel's centre is at 0.5.  OpenCV's
    matrices put it at 0.
    """

    calibration: CameraCalibration
    size: tuple[int, int]
    """Width and height of the view in pixels."""
    view_matrix: NDArray[np.float64]
    """(3, 3): from rectified rays to pixels of the view."""
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]]
    """For ``cv2.remap``, from the part of the image that it is given."""

    @classmethod
    def make(
        cls,
        calibration: CameraCalibration,
        source_size: tuple[int, int],
        region: Region,
        part: Region,
        reduction: int = 1,
    ) -> Rectification:
        """Compute the maps, which takes about a tenth of a second for 1080p.

        The view of the whole image is what the camera's P says it is.  The view of a part of it is
        the smallest rectangle of that which holds all that the part shows.

        Parameters
        ----------
        calibration:
            The camera's.
        source_size:
            Width and height of the image as it is published.
        region:
            What of it is shown.
        part:
            The same in the picture of which it is cut for :meth:`apply`.
        reduction:
            How many pixels of the image became one of that picture.

        Raises
        ------
        CalibrationError
            If image and calibration do not fit, or nothing of the region would be seen.

        """
        calibration.check_image(source_size)
        whole = region == Region.whole(source_size)
        left, top, right, bottom = (
            calibration.sensor_in_image
            if calibration.rectifies_region
            else (0.0, 0.0, *source_size)
        )
        size = round((right - left) / reduction), round((bottom - top) / reduction)
        size = max(1, size[0]), max(1, size[1])
        if max(*size, *part.size) >= _BLOCK:
            raise CalibrationError(
                f"an image of {max(*size, *part.size)} pixels in a row cannot be rectified: set "
                "'view.rectify' to false"
            )
        raw = _moved(calibration.raw_matrix, reduction, (part.x, part.y))
        view = _moved(calibration.rectified_matrix, reduction, (left / reduction, top / reduction))
        maps = _float_maps(calibration, raw, view, size)
        if not whole or calibration.rectifies_region:
            shown = _bounds(maps, part.size)
            if shown is None:
                raise CalibrationError(
                    f"nothing of region {region} is seen in the rectified image; choose another, "
                    "or calibrate the camera with more of its image in view (alpha)"
                )
            view[0, 2] -= shown.x
            view[1, 2] -= shown.y
            rows, columns = slice(shown.y, shown.bottom), slice(shown.x, shown.right)
            maps = maps[0][rows, columns], maps[1][rows, columns]
            size = shown.size
        x, y = map(np.ascontiguousarray, maps)
        places, fractions = cv2.convertMaps(x, y, cv2.CV_16SC2)
        quick = np.asarray(places, np.int16), np.asarray(fractions, np.uint16)
        return cls(calibration, size, view, quick)

    def apply(self, image: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Fill the view, (H, W[, C]), from the region's part of the picture; black where none is.

        Both have the same number of channels; rows may be strided.
        """
        cv2.remap(
            image,
            *self.maps,
            cv2.INTER_LINEAR,
            dst=target,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )

    def points_to_source(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points, (..., 2), from the view to the published image, exactly."""
        flat = np.asarray(points, np.float64).reshape(-1, 2) - 0.5
        homogeneous = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
        undo = np.linalg.inv(self.view_matrix @ self.calibration.turn)
        rays = homogeneous @ undo.T
        raw = self.calibration.raw_matrix
        if not len(rays):
            return np.zeros(points.shape)
        if self.calibration.model is DistortionModel.EQUIDISTANT:
            rays = (rays[:, :2] / rays[:, 2:])[:, None]
            pixels = cv2.fisheye.distortPoints(rays, raw, _coefficients(self.calibration))
        else:
            none = np.zeros(3)
            pixels, _ = cv2.projectPoints(
                rays[:, None], none, none, raw, _coefficients(self.calibration)
            )
        return np.asarray(pixels, np.float64).reshape(points.shape) + 0.5

    def to_source(self, found: Detections) -> Detections:
        """Map detections from the view to the published image.

        A straight side is bent there.  The box is the smallest that holds points on all four sides,
        and so a little larger than the object; a turned box keeps its turn: it is the smallest that
        lies along what its width became.
        """
        outlines = self.points_to_source(_outlines(found))
        if found.angles is None:
            boxes = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
            return Detections(boxes.astype(np.float32), found.scores, found.class_ids)
        middle = _SAMPLES // 2
        along = outlines[:, _SAMPLES + middle] - outlines[:, 3 * _SAMPLES + middle]
        angles = np.arctan2(along[:, 1], along[:, 0])
        along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        axes = np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)
        reach = outlines @ axes.transpose(0, 2, 1)  # (N, points, 2): along and across
        low, high = reach.min(axis=1), reach.max(axis=1)
        centers = ((low + high)[:, None] / 2 @ axes)[:, 0]
        half = (high - low) / 2
        boxes = np.concatenate([centers - half, centers + half], axis=1)
        return Detections(
            boxes.astype(np.float32),
            found.scores,
            found.class_ids,
            angles.astype(np.float32),
        )


def _moved(
    matrix: NDArray[np.float64], reduction: int, corner: tuple[float, float]
) -> NDArray[np.float64]:
    """Return a matrix of the image for its reduced picture, from the corner (x, y) of that on."""
    matrix = matrix.copy()
    matrix[:2, 2] += 0.5
    matrix[:2] /= reduction
    matrix[:2, 2] -= 0.5 + np.array(corner)
    return matrix


def _float_maps(
    calibration: CameraCalibration,
    raw: NDArray[np.float64],
    view: NDArray[np.float64],
    size: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where in the raw picture each pixel of the view is, x and y, (H, W) each."""
    is_fisheye = calibration.model is DistortionModel.EQUIDISTANT
    library = cv2.fisheye if is_fisheye else cv2
    x, y = library.initUndistortRectifyMap(
        raw, _coefficients(calibration), calibration.turn, view, size, cv2.CV_32FC1
    )
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _coefficients(calibration: CameraCalibration) -> NDArray[np.float64]:
    """As OpenCV takes them, which asks for some also where there is no distortion."""
    return np.array(calibration.distortion or (0.0,) * 4)


def _bounds(
    maps: tuple[NDArray[np.float32], NDArray[np.float32]], size: tuple[int, int]
) -> Region | None:
    """Return the smallest rectangle of the view with all that comes from a picture of this size."""
    inside = (maps[0] > -0.5) & (maps[0] < size[0] - 0.5)
    inside &= (maps[1] > -0.5) & (maps[1] < size[1] - 0.5)
    columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    if not len(columns):
        return None
    x, y = int(columns[0]), int(rows[0])
    return Region(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)


def _outlines(found: Detections) -> NDArray[np.float64]:
    """Return points on each box's sides, (N, 4 * samples, 2), from the first corner clockwise."""
    corners = found.corners().astype(np.float64)
    steps = (np.arange(_SAMPLES) / _SAMPLES)[:, None]
    sides = np.roll(corners, -1, axis=1) - corners
    points = corners[:, :, None] + sides[:, :, None] * steps
    outlines: NDArray[np.float64] = points.reshape(len(corners), 4 * _SAMPLES, 2)
    return outlines
