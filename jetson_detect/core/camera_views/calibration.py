"""What a camera says of its lens and of what its images hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.camera_views.region import Region


class CalibrationError(ValueError):
    """A calibration that cannot be used, or does not belong to the image."""


class DistortionModel(str, Enum):
    """By the names of ``sensor_msgs/distortion_models.hpp``."""

    PLUMB_BOB = "plumb_bob"
    RATIONAL_POLYNOMIAL = "rational_polynomial"
    EQUIDISTANT = "equidistant"
    """Fisheye: Kannala and Brandt, as ``cv2.fisheye`` does it."""


_COEFFICIENTS = {
    DistortionModel.PLUMB_BOB: (0, 4, 5),
    DistortionModel.RATIONAL_POLYNOMIAL: (0, 4, 5, 8, 12, 14),
    DistortionModel.EQUIDISTANT: (4,),
}
"""How many OpenCV takes."""


@dataclass(frozen=True)
class CameraCalibration:
    """``sensor_msgs/CameraInfo``, checked.

    Matrices are of the whole sensor at full resolution.  Region and binning tell what of it the
    images hold: the region is cut out in pixels of the sensor, and then ``binning`` of them become
    one (ROS REP-104, and ``CameraInfo.msg``).
    """

    size: tuple[int, int]
    """Width and height of the sensor in pixels."""
    model: DistortionModel
    distortion: tuple[float, ...]
    """Coefficients, in OpenCV's order."""
    camera_matrix: tuple[float, ...]
    """K, 3x3, row by row: of the raw image."""
    rectification: tuple[float, ...]
    """R, 3x3: turns the camera to where the rectified one looks."""
    projection: tuple[float, ...]
    """P, 3x4: of the rectified image."""
    binning: tuple[int, int] = (1, 1)
    """Pixels of the sensor that make one of the image, in x and y."""
    region: Region | None = None
    """What of the sensor the image holds, in its pixels; None for all."""
    rectifies_region: bool = False
    """Whether the rectified image holds what the region shows (``do_rectify``); else it holds the
    region's pixels of the whole rectified image."""

    def __post_init__(self) -> None:
        remedy = "calibrate the camera, or set 'view.rectify' to false"
        if min(self.size) < 1 or self.camera_matrix[0] <= 0 or self.camera_matrix[4] <= 0:
            raise CalibrationError(
                f"CameraInfo says {self.size[0]}x{self.size[1]} with a focal length of "
                f"{self.camera_matrix[0]:g}: it is not calibrated; {remedy}"
            )
        numbers = self.distortion + self.camera_matrix + self.rectification + self.projection
        if not all(map(math.isfinite, numbers)):
            raise CalibrationError(f"CameraInfo has numbers that are not finite; {remedy}")
        allowed = _COEFFICIENTS[self.model]
        if len(self.distortion) not in allowed:
            raise CalibrationError(
                f"CameraInfo has {len(self.distortion)} coefficients for '{self.model.value}', "
                f"which takes {' or '.join(map(str, allowed))}; {remedy}"
            )
        if abs(np.linalg.det(self._of_view)) < 1e-9 or abs(np.linalg.det(self.turn)) < 1e-9:
            raise CalibrationError(f"CameraInfo has an R or P that cannot be undone; {remedy}")

    @cached_property
    def image_size(self) -> tuple[float, float]:
        """Width and height of the image; cameras round them up or down."""
        width, height = self.region.size if self.region is not None else self.size
        return width / self.binning[0], height / self.binning[1]

    def check_image(self, size: tuple[int, int]) -> None:
        """See whether an image of this width and height may be of this camera.

        Raises
        ------
        CalibrationError
            If it cannot.

        """
        if any(abs(own - given) >= 1.0 for own, given in zip(self.image_size, size)):
            width, height = self.image_size
            raise CalibrationError(
                f"CameraInfo is for images of {width:g}x{height:g} (sensor "
                f"{self.size[0]}x{self.size[1]}, roi {self.region or 'none'}, binning "
                f"{self.binning[0]}x{self.binning[1]}), but this one is {size[0]}x{size[1]}: "
                "calibrate the camera at the size that it publishes"
            )

    @property
    def turn(self) -> NDArray[np.float64]:
        """(3, 3): R, or none where the camera gives none."""
        turn = np.array(self.rectification, np.float64).reshape(3, 3)
        return turn if turn.any() else np.eye(3)

    @property
    def raw_matrix(self) -> NDArray[np.float64]:
        """(3, 3): K of the image, with pixel centres at whole numbers."""
        return self._of_image(np.array(self.camera_matrix, np.float64).reshape(3, 3))

    @property
    def rectified_matrix(self) -> NDArray[np.float64]:
        """(3, 3): P without its last column, of the image; K where the camera gives none."""
        return self._of_image(self._of_view)

    @property
    def changes_nothing(self) -> bool:
        """Whether the rectified image is the raw one."""
        return (
            self.model is not DistortionModel.EQUIDISTANT
            and not any(self.distortion)
            and np.array_equal(self.turn, np.eye(3))
            and np.array_equal(self.raw_matrix, self.rectified_matrix)
        )

    @property
    def sensor_in_image(self) -> tuple[float, float, float, float]:
        """Edges of the whole sensor in pixels of the image: left, top, right, bottom."""
        left, top = (self.region.x, self.region.y) if self.region is not None else (0, 0)
        (width, height), (bin_x, bin_y) = self.size, self.binning
        return -left / bin_x, -top / bin_y, (width - left) / bin_x, (height - top) / bin_y

    @property
    def _of_view(self) -> NDArray[np.float64]:
        projection = np.array(self.projection, np.float64).reshape(3, 4)[:, :3]
        if not projection.any():
            projection = np.array(self.camera_matrix, np.float64).reshape(3, 3)
        return projection

    def _of_image(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move a matrix of the sensor into the image, as image_geometry's PinholeCameraModel."""
        matrix = matrix.copy()
        if self.region is not None:
            matrix[0, 2] -= self.region.x
            matrix[1, 2] -= self.region.y
        matrix[0] /= self.binning[0]
        matrix[1] /= self.binning[1]
        return matrix
