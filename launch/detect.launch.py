"""Start the detector: ``ros2 launch jetson_detect detect.launch.py image_topics:=/cam/image_raw``.

With ``build:=true`` the builder of engines starts beside it: the detector begins with what the
model brings, and takes the engine over when it is built and proven.

Parameters that are not given here are left to ``params_file`` and ``builder_params_file``, and then
to the nodes.  ``detect_and_track.launch.py`` builds on this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from jetson_detect.share import find_model, share_folder
from jetson_detect.transport import shared_memory_environment


def boolean(text: str) -> bool:
    """Read what is true or false."""
    if text.lower() not in ("true", "false", "1", "0"):  # as launch's own conditions
        raise ValueError("neither true nor false")
    return text.lower() in ("true", "1")


def names(text: str) -> list[str]:
    """Read names that are separated by commas, in brackets or not."""
    found = [name.strip(" '\"") for name in text.strip("[]").split(",")]
    if not all(found):
        raise ValueError("one of the names is empty")
    return found


ARGUMENTS = {
    "namespace": ("", str, "Namespace of the node, and so of topics that are not absolute"),
    "name": ("detector", str, "Name of the node"),
    "params_file": (
        str(share_folder() / "config" / "detector.yaml"),
        Path,
        "File with the node's parameters; the default lists and explains them all",
    ),
    "build": ("false", boolean, "Start the builder of engines too, for the detector's model"),
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
    "respawn": ("false", boolean, "Start the node again when it dies"),
    "dds_profile": (
        "true",
        boolean,
        "Give the node's images enough shared memory (config/fastdds_shared_memory.xml), unless "
        "the environment names a Fast DDS profile already",
    ),
}
PARAMETERS = {
    "image_topics": (names, "Topics of the cameras, separated by commas"),
    "model": (str, "Folder with a model.yaml, or the name of a model of this package"),
    "backends": (
        names,
        "What may run the model, best first, separated by commas: tensorrt, tensorflow, tflite, "
        "onnxruntime, or auto for those that are not named",
    ),
    "require": (str, "Run on this backend or not at all"),
    "precision": (str, "auto, fp32, fp16, bf16, int8 or fp8"),
    "class_id_format": (str, "label or index: what ObjectHypothesis.class_id holds"),
    "score_threshold": (float, "Hypotheses with a lower score are left out"),
    "use_sim_time": (boolean, "Take the time from /clock"),
    "autostart": (boolean, "Configure and activate at start; else a life cycle manager does"),
}
SHARED_PARAMETERS = ("use_sim_time", "autostart")
"""Those of them that are for the builder too."""
BUILDER_PARAMETERS = {
    "precisions": (
        names,
        "Precisions of the engines to build, separated by commas: fp32, fp16, bf16, int8, fp8",
    ),
}


@dataclass(frozen=True)
class NodePlan:
    """One node that is to run."""

    executable: str
    name: str
    params_file: Path
    overrides: dict[str, Any]
    """Parameters that win over the file's."""


def read_argument(context: LaunchContext, name: str, read: Callable, default: str = "") -> Any:
    """Read an argument; one that was left empty is its default, or None where that is empty."""
    text = LaunchConfiguration(name).perform(context).strip() or default
    try:
        return read(text) if text else None
    except ValueError as error:
        raise ValueError(f"{name}:={text}: {error}") from error


def read_arguments(context: LaunchContext, table: dict[str, tuple]) -> dict[str, Any]:
    """Read the arguments that say how nodes are started."""
    return {
        name: read_argument(context, name, read, default)
        for name, (default, read, _) in table.items()
    }


def read_parameters(context: LaunchContext, table: dict[str, tuple]) -> dict[str, Any]:
    """Read the arguments that are parameters of a node; those that were not given are left out."""
    read = {name: read_argument(context, name, reader) for name, (reader, _) in table.items()}
    return {name: value for name, value in read.items() if value is not None}


def params_file(given: dict[str, Any], argument: str) -> Path:
    """Return an existing parameter file."""
    file: Path = given[argument]
    if not file.is_file():
        # launch_ros would warn, and start the node without it.
        raise FileNotFoundError(f"{argument}: there is no file '{file}'")
    return file


def plan(context: LaunchContext) -> list[NodePlan]:
    """Find out what the arguments ask for: the detector, and the builder if it is wanted."""
    given = read_arguments(context, ARGUMENTS)
    detector = read_parameters(context, PARAMETERS)
    builder = read_parameters(context, BUILDER_PARAMETERS)
    plans = [NodePlan("detector_node", given["name"], params_file(given, "params_file"), detector)]
    if given["build"]:
        builder.update({name: detector[name] for name in SHARED_PARAMETERS if name in detector})
        if "model" in detector:
            builder.update(_same_model(detector["model"]))
        file = params_file(given, "builder_params_file")
        plans.append(NodePlan("builder_node", "engine_builder", file, builder))
    return plans


def start(context: LaunchContext, executable: str, **how: Any) -> Node:
    """Make the process of one node, or of several; ``how`` is as for ``Node``."""
    given = read_arguments(context, ARGUMENTS)
    has_profile = any(name.endswith("_DEFAULT_PROFILES_FILE") for name in context.environment)
    # The node takes the profile by itself where the environment names none; an empty name is none.
    profile = {
        name: file if given["dds_profile"] else ""
        for name, file in shared_memory_environment().items()
    }
    return Node(
        package="jetson_detect",
        executable=executable,
        namespace=given["namespace"] or "",
        ros_arguments=["--log-level", given["log_level"]],
        additional_env={} if has_profile else profile,
        respawn=given["respawn"],
        respawn_delay=1.0,
        output="both",
        **how,
    )


def start_each(context: LaunchContext, plans: list[NodePlan]) -> list[Node]:
    """Make a process for each node."""
    return [
        start(
            context,
            each.executable,
            name=each.name,
            parameters=[each.params_file, *([each.overrides] if each.overrides else [])],
        )
        for each in plans
    ]


def _same_model(model: str) -> dict[str, list[str]]:
    """Say to the builder which model the detector runs: a name, and the folder to look it up in."""
    folder = find_model(model).absolute()
    if folder.is_file():  # its model.yaml
        folder = folder.parent
    return {"model_folders": [str(folder.parent)], "models": [folder.name]}


def declarations(
    arguments: dict[str, tuple], *parameters: dict[str, tuple]
) -> list[DeclareLaunchArgument]:
    """Declare arguments, and those that are parameters: they are empty unless they are given."""
    return [
        *(
            DeclareLaunchArgument(name, default_value=default, description=description)
            for name, (default, _, description) in arguments.items()
        ),
        *(
            DeclareLaunchArgument(name, default_value="", description=description)
            for table in parameters
            for name, (_, description) in table.items()
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription(
        [
            *declarations(ARGUMENTS, PARAMETERS, BUILDER_PARAMETERS),
            OpaqueFunction(function=lambda context: start_each(context, plan(context))),
        ]
    )
