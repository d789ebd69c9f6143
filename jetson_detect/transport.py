"""Settings of the DDS middleware that camera images need."""

from __future__ import annotations

import os
from importlib.metadata import version

from jetson_detect.share import share_folder

_KILTED_RCLPY = 9
"""From this major version of rclpy on, rmw_fastrtps is built on Fast DDS 3."""


def shared_memory_environment() -> dict[str, str]:
    """Environment variables that give a process's images enough shared memory.

    They name config/fastdds_shared_memory.xml, which says what it sets, why, and what it costs:
    room for images, a queue that holds 4K ones, announcements that let nodes find each other soon.

    The middleware reads them when the process makes its first node.  Fast DDS 3 (Kilted) warns
    when the older variable is set, Fast DDS 2 (Humble, Jazzy) reads no other.
    """
    is_fastdds3 = int(version("rclpy").split(".")[0]) >= _KILTED_RCLPY
    name = "FASTDDS_DEFAULT_PROFILES_FILE" if is_fastdds3 else "FASTRTPS_DEFAULT_PROFILES_FILE"
    return {name: str(share_folder() / "config" / "fastdds_shared_memory.xml")}


def use_shared_memory_profile() -> None:
    """Give this process's images enough shared memory.

    A Fast DDS profile that the environment names stays in force; an empty name stands for none.
    """
    if not any(name.endswith("_DEFAULT_PROFILES_FILE") for name in os.environ):
        os.environ.update(shared_memory_environment())


def localhost_environment() -> dict[str, str]:
    """Environment variables that keep discovery on this machine."""
    if int(version("rclpy").split(".")[0]) < 5:  # Humble
        return {"ROS_LOCALHOST_ONLY": "1"}
    return {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
