"""Message classes by the names that bags give them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jetson_detect.bags.errors import BagError


def message_class_of(type_name: str) -> Any:
    """Import the class of a message type.

    Parameters
    ----------
    type_name
        As bags write it: ``sensor_msgs/msg/Image``.

    Raises
    ------
    BagError
        If its package is not installed or has no such message.

    """
    package, _, name = type_name.partition("/msg/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(
            f"message type {type_name} is not installed ({error}); source the workspace that has "
            f"it, or apt-get install ros-$ROS_DISTRO-{package.replace('_', '-')}"
        ) from error
