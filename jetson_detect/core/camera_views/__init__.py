"""What the network is shown of a camera's image: a region of it, rectified, the right way up."""

from __future__ import annotations

from jetson_detect.core.camera_views.calibration import (
    CalibrationError,
    CameraCalibration,
    DistortionModel,
)
from jetson_detect.core.camera_views.camera_view import ROTATIONS, WHOLE_IMAGE, CameraView
from jetson_detect.core.camera_views.region import Region, RegionError
from jetson_detect.core.camera_views.view_geometry import ViewGeometry
from jetson_detect.core.camera_views.viewer import ViewedPicture, Viewer

__all__ = [
    "ROTATIONS",
    "WHOLE_IMAGE",
    "CalibrationError",
    "CameraCalibration",
    "CameraView",
    "DistortionModel",
    "Region",
    "RegionError",
    "ViewGeometry",
    "ViewedPicture",
    "Viewer",
]
