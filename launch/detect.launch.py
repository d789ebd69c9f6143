"""Start the detector: ``ros2 launch jetson_detect detect.launch.py image_topics:=/cam/image_raw``.

Parameters that are not given here are left to ``params_file``, and then to the node.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from jetson_detect.share import share_folder
from jetson_detect.transport import shared_memory_environment


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):  # as launch's own conditions
        raise ValueError("neither true nor false")
    return text.lower() in ("true", "1")


def _names(text: str) -> list[str]:
    names = [name.strip(" '\"") for name in text.strip("[]").split(",")]
    if not all(names):
        raise ValueError("one of the names is empty")
    return names


_ARGUMENTS = {
    "namespace": ("", str, "Namespace of the node, and so of topics that are not absolute"),
    "name": ("detector", str, "Name of the node"),
    "params_file": (
        str(share_folder() / "config" / "detector.yaml"),
        Path,
        "File with the node's parameters; the default lists and explains them all",
    ),
    "log_level": (
        "info",
        str,
        "debug, info, warn, error or fatal; for one logger: camera.detector:=debug",
    ),
    "respawn": ("false", _boolean, "Start the node again when it dies"),
    "dds_profile": (
        "true",
        _boolean,
        "Give the node's images enough shared memory (config/fastdds_shared_memory.xml), unless "
        "the environment names a Fast DDS profile already",
    ),
}
_PARAMETERS = {
    "image_topics": (_names, "Topics of the cameras, separated by commas"),
    "model": (str, "Folder with a model.yaml, or the name of a model of this package"),
    "backends": (
        _names,
        "What may run the model, best first, separated by commas: tensorrt, tensorflow, tflite, "
        "onnxruntime, or auto for those that are not named",
    ),
    "require": (str, "Run on this backend or not at all"),
    "precision": (str, "auto, fp32, fp16, bf16, int8 or fp8"),
    "class_id_format": (str, "label or index: what ObjectHypothesis.class_id holds"),
    "score_threshold": (float, "Hypotheses with a lower score are left out"),
    "use_sim_time": (_boolean, "Take the time from /clock"),
    "autostart": (_boolean, "Configure and activate at start; else a life cycle manager does"),
}


def _detector(context: LaunchContext) -> list[Node]:
    """Make the node once the arguments are known."""

    def read(name, read_text):
        text = LaunchConfiguration(name).perform(context).strip()
        try:
            return read_text(text) if text else None
        except ValueError as error:
            raise ValueError(f"{name}:={text}: {error}") from error

    given = {name: read(name, read_text) for name, (_, read_text, _) in _ARGUMENTS.items()}
    parameters = {name: read(name, read_text) for name, (read_text, _) in _PARAMETERS.items()}
    overrides = {name: value for name, value in parameters.items() if value is not None}
    if given["params_file"] is None or not given["params_file"].is_file():
        # launch_ros would warn, and start the node without it.
        raise FileNotFoundError(f"params_file: there is no file '{given['params_file'] or ''}'")
    has_profile = any(name.endswith("_DEFAULT_PROFILES_FILE") for name in context.environment)
    # The node takes the profile by itself where the environment names none; an empty name is none.
    profile = {
        name: file if given["dds_profile"] else ""
        for name, file in shared_memory_environment().items()
    }
    return [
        Node(
            package="jetson_detect",
            executable="detector_node",
            namespace=given["namespace"] or "",
            name=given["name"],
            parameters=[given["params_file"], *([overrides] if overrides else [])],
            ros_arguments=["--log-level", given["log_level"]],
            additional_env={} if has_profile else profile,
            respawn=given["respawn"],
            respawn_delay=1.0,
            output="both",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the detector."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, _, description) in _ARGUMENTS.items()
            ),
            *(
                DeclareLaunchArgument(name, default_value="", description=description)
                for name, (_, description) in _PARAMETERS.items()
            ),
            OpaqueFunction(function=_detector),
        ]
    )
