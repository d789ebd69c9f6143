"""Message definitions that bags carry: those of the running ROS, vision_msgs among them."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ament_index_python.packages import PackageNotFoundError as PackageNotInstalledError
from ament_index_python.packages import get_package_share_directory
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from jetson_detect.bags.errors import BagError

DEFAULT_DISTRO = "kilted"

_DISTRO_OF_RCLPY = {3: "humble", 7: "jazzy", 9: "kilted"}
"""By rclpy's major version, for ROS from wheels, which sets no ROS_DISTRO."""


def running_distro() -> str:
    """Return the name of the ROS distribution that runs: ``humble``, ``jazzy``, ``kilted``, …."""
    if distro := os.environ.get("ROS_DISTRO"):
        return distro
    try:
        return _DISTRO_OF_RCLPY.get(int(version("rclpy").split(".")[0]), DEFAULT_DISTRO)
    except PackageNotFoundError:
        return DEFAULT_DISTRO


def metadata_version() -> Literal[8, 9]:
    """Return the version of ``metadata.yaml`` that the running distribution's tools read.

    From version 9 on, quality of service is written in a way that Humble and Iron do not
    understand.
    """
    return 8 if running_distro() in ("humble", "iron") else 9


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Return the types of the running distribution and of the installed vision_msgs.

    A distribution that rosbags does not know gets the types of the newest one that it knows; the
    common messages have been the same since Humble.
    """
    try:
        store = get_typestore(Stores[f"ROS2_{running_distro().upper()}"])
    except KeyError:
        store = get_typestore(Stores.LATEST)
    register_package(store, "vision_msgs")
    return store


def register_package(store: Typestore, package: str) -> None:
    """Add the messages of an installed package; nothing happens if it is not installed.

    Raises
    ------
    BagError
        If one of its definitions cannot be understood.

    """
    try:
        folder = Path(get_package_share_directory(package)) / "msg"
    except PackageNotInstalledError:
        return
    types = {}
    for file in sorted(folder.glob("*.msg")):
        name = f"{package}/msg/{file.stem}"
        if name in store.fielddefs:
            continue
        try:
            types.update(get_types_from_msg(file.read_text(encoding="utf-8"), name))
        except Exception as error:  # the parser documents no closed set
            raise BagError(f"{file}: not understood as a message definition: {error}") from error
    store.register(types)


def message_definition(type_name: str) -> tuple[str, str]:
    """Return the text of a type's definition, its parts included, and its hash.

    Parameters
    ----------
    type_name
        As bags write it: ``vision_msgs/msg/Detection2DArray``.

    Raises
    ------
    BagError
        If the type's package is not installed.

    """
    store = typestore()
    package = type_name.split("/")[0]
    try:
        if type_name not in store.fielddefs:
            register_package(store, package)
        definition, _ = store.generate_msgdef(type_name, ros_version=2)
        return definition, store.hash_rihs01(type_name)
    except Exception as error:  # the library documents no closed set
        raise BagError(
            f"message type {type_name} is not known ({error}); install its package, "
            f"apt-get install ros-{running_distro()}-{package.replace('_', '-')}"
        ) from error
