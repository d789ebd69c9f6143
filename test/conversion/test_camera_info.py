from __future__ import annotations

import pytest
from sensor_msgs.msg import CameraInfo

from jetson_detect.conversion.camera_info import to_calibration
from jetson_detect.core.camera_views import CalibrationError, DistortionModel, Region


def camera_info(**changes) -> CameraInfo:
    message = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
    message.d = [-0.2, 0.1, 0.001, 0.002, 0.0]
    message.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [450.0, 0.0, 321.0, 0.0, 0.0, 460.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_a_camera_info_becomes_a_calibration():
    message = camera_info(binning_x=2, binning_y=1)
    message.roi.x_offset, message.roi.y_offset = 10, 20
    message.roi.width, message.roi.height, message.roi.do_rectify = 300, 200, True
    calibration = to_calibration(message)
    assert calibration.size == (640, 480)
    assert calibration.model is DistortionModel.PLUMB_BOB
    assert calibration.distortion == (-0.2, 0.1, 0.001, 0.002, 0.0)
    assert calibration.region == Region(10, 20, 300, 200)
    assert calibration.rectifies_region
    assert calibration.image_size == (150, 200)
    assert calibration.raw_matrix.tolist() == [[250, 0, 155], [0, 510, 220], [0, 0, 1]]
    assert calibration.rectified_matrix.tolist() == [[225, 0, 155.5], [0, 460, 221], [0, 0, 1]]


def test_zeros_stand_for_the_whole_sensor_pixel_by_pixel():
    calibration = to_calibration(camera_info())
    assert (calibration.binning, calibration.region) == ((1, 1), None)
    message = camera_info()
    message.roi.width, message.roi.height = 640, 480
    assert to_calibration(message) == calibration


def test_what_has_not_changed_compares_equal():
    first = camera_info()
    first.header.stamp.sec = 7
    assert to_calibration(first) == to_calibration(camera_info())
    assert to_calibration(camera_info(binning_x=2)) != to_calibration(camera_info())


def test_without_a_distortion_model_there_is_no_distortion():
    calibration = to_calibration(camera_info(distortion_model="", d=[]))
    assert calibration.distortion == ()


def test_an_unknown_model_is_refused_with_those_that_are_known():
    with pytest.raises(CalibrationError, match=r"'thin_prism'.*plumb_bob.*equidistant"):
        to_calibration(camera_info(distortion_model="thin_prism"))


def test_an_uncalibrated_camera_is_refused():
    with pytest.raises(CalibrationError, match="not calibrated"):
        to_calibration(CameraInfo(width=640, height=480))
