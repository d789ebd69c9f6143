"""``sensor_msgs/CameraInfo`` as a calibration."""

from __future__ import annotations

from collections.abc import Iterable

from sensor_msgs.msg import CameraInfo

from jetson_detect.core.camera_views import (
    CalibrationError,
    CameraCalibration,
    DistortionModel,
    Region,
)


def to_calibration(message: CameraInfo) -> CameraCalibration:
    """Check what a camera says of itself.

    Binning of 0 is that of 1, a region of interest of 0x0 is the whole sensor, and no distortion
    model is that without distortion, as the message says.

    Raises
    ------
    CalibrationError
        If it is not calibrated, has a distortion model that is not known or contradicts itself.

    """
    name = message.distortion_model or DistortionModel.PLUMB_BOB.value
    try:
        model = DistortionModel(name)
    except ValueError:
        raise CalibrationError(
            f"CameraInfo has the distortion model '{name}'; known are "
            f"{', '.join(each.value for each in DistortionModel)}: calibrate with one of these, or "
            "set 'view.rectify' to false"
        ) from None
    size, roi = (message.width, message.height), message.roi
    part = roi.x_offset, roi.y_offset, roi.width, roi.height
    is_whole = not (roi.width and roi.height) or part == (0, 0, *size)
    return CameraCalibration(
        size=size,
        model=model,
        distortion=_floats(message.d),
        camera_matrix=_floats(message.k),
        rectification=_floats(message.r),
        projection=_floats(message.p),
        binning=(message.binning_x or 1, message.binning_y or 1),
        region=None if is_whole else Region(*part),
        rectifies_region=bool(roi.do_rectify),
    )


def _floats(numbers: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(each) for each in numbers)
