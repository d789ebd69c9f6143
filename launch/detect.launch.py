"""Start the detector: ``ros2 launch jetson_detect detect.launch.py image_topics:=/cam/image_raw``.

With ``build:=true`` the builder of engines starts beside it: the detector begins with what the
model brings, and takes the engine over when it is built and proven.

Parameters that are not given here are left to ``params_file`` and ``builder_params_file``, and then
to the nodes.
"""

from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from jetson_detect.share import find_model, share_folder
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
    "build": ("false", _boolean, "Start the builder of engines too, for the detector's model"),
    "builder_params_file": (
        str(share_folder() / "config" / "builder.yaml"),
        Path,
        "File with the builder's parameters; the default lists and explains them all",
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
_SHARED_PARAMETERS = ("use_sim_time", "autostart")
"""Those of them that are for the builder too."""
_BUILDER_PARAMETERS = {
    "precisions": (
        _names,
        "Precisions of the engines to build, separated by commas: fp32, fp16, bf16, int8, fp8",
    ),
}


def _nodes(context: LaunchContext) -> list[Node]:
    """Make the nodes once the arguments are known."""

    def read(name, read_text):
        text = LaunchConfiguration(name).perform(context).strip()
        try:
            return read_text(text) if text else None
        except ValueError as error:
            raise ValueError(f"{name}:={text}: {error}") from error

    given = {name: read(name, read_text) for name, (_, read_text, _) in _ARGUMENTS.items()}
    detector, builder = (
        {
            name: value
            for name, (read_text, _) in table.items()
            if (value := read(name, read_text)) is not None
        }
        for table in (_PARAMETERS, _BUILDER_PARAMETERS)
    )
    has_profile = any(name.endswith("_DEFAULT_PROFILES_FILE") for name in context.environment)
    # The node takes the profile by itself where the environment names none; an empty name is none.
    profile = {
        name: file if given["dds_profile"] else ""
        for name, file in shared_memory_environment().items()
    }

    def node(executable: str, name: str, params_file: str, overrides: dict[str, Any]) -> Node:
        if given[params_file] is None or not given[params_file].is_file():
            # launch_ros would warn, and start the node without it.
            raise FileNotFoundError(f"{params_file}: there is no file '{given[params_file] or ''}'")
        return Node(
            package="jetson_detect",
            executable=executable,
            namespace=given["namespace"] or "",
            name=name,
            parameters=[given[params_file], *([overrides] if overrides else [])],
            ros_arguments=["--log-level", given["log_level"]],
            additional_env={} if has_profile else profile,
            respawn=given["respawn"],
            respawn_delay=1.0,
            output="both",
        )

    nodes = [node("detector_node", given["name"], "params_file", detector)]
    if given["build"]:
        builder.update({name: detector[name] for name in _SHARED_PARAMETERS if name in detector})
        if "model" in detector:
            builder.update(_same_model(detector["model"]))
        nodes.append(node("builder_node", "engine_builder", "builder_params_file", builder))
    return nodes


def _same_model(model: str) -> dict[str, list[str]]:
    """Say to the builder which model the detector runs: a name, and the folder to look it up in."""
    folder = find_model(model).absolute()
    if folder.is_file():  # its model.yaml
        folder = folder.parent
    return {"model_folders": [str(folder.parent)], "models": [folder.name]}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, _, description) in _ARGUMENTS.items()
            ),
            *(
                DeclareLaunchArgument(name, default_value="", description=description)
                for name, (_, description) in {**_PARAMETERS, **_BUILDER_PARAMETERS}.items()
            ),
            OpaqueFunction(function=_nodes),
        ]
    )
