from __future__ import annotations

import pytest

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.types import message_definition, metadata_version, running_distro


def test_the_installed_vision_msgs_have_the_hash_of_the_released_ones():
    definition, type_hash = message_definition("vision_msgs/msg/Detection2DArray")
    assert type_hash == ("RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968")
    assert "MSG: vision_msgs/Detection2D\n" in definition


def test_a_type_of_another_installed_package_is_found_too():
    definition, _ = message_definition("diagnostic_msgs/msg/DiagnosticArray")
    assert "DiagnosticStatus[] status" in definition


def test_a_type_that_is_not_installed_is_named_with_its_package():
    with pytest.raises(BagError, match=r"no_such_msgs/msg/Thing.*ros-\w+-no-such-msgs"):
        message_definition("no_such_msgs/msg/Thing")


def test_the_environment_names_the_distribution(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert running_distro() == "humble"
    assert metadata_version() == 8


def test_without_sourced_ros_the_version_of_rclpy_tells(monkeypatch):
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr("jetson_detect.bags.types.version", lambda package: "7.1.6")
    assert running_distro() == "jazzy"
    assert metadata_version() == 9
