"""Start the detector and the tracker: ``ros2 launch jetson_detect detect_and_track.launch.py``.

They run in two processes, or with ``one_process:=true`` in one.  All arguments of
``detect.launch.py`` are taken too; with ``build:=true`` the builder of engines runs as well.

Parameters that are not given here are left to ``params_file`` and ``tracker_params_file``, and then
to the nodes.
"""

from pathlib import Path
from tempfile import NamedTemporaryFile

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch.launch_description_sources import load_python_launch_file_as_module
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from jetson_detect.share import share_folder

_detect = load_python_launch_file_as_module(str(share_folder() / "launch" / "detect.launch.py"))

ARGUMENTS = {
    "one_process": ("false", _detect.boolean, "Run all of them in one process and one executor"),
    "tracker_name": ("tracker", str, "Name of the tracker's node"),
    "tracker_params_file": (
        str(share_folder() / "config" / "tracker.yaml"),
        Path,
        "File with the tracker's parameters; the default lists and explains them all",
    ),
}
TRACKER_PARAMETERS = {
    "detection_topics": (
        _detect.names,
        "Topics of the detections to track, separated by commas; if empty, and image_topics is "
        "given, the detections beside these",
    ),
    "algorithm": (str, "bytetrack, or module:callable for one of your own"),
    "publish": (str, "confirmed, or all: which detections are published with the tracks"),
    "max_age_s": (float, "Seconds that an object may be unseen and keep its id"),
    "min_hits": (int, "Frames in which an object was seen, before it gets an id"),
    "per_class": (_detect.boolean, "Whether a detection only belongs to a track of its own class"),
    "smoothing": (float, "Share of a track's former box that is kept; 0 leaves boxes as they are"),
}
_SECTIONS = {
    "tracker_node": "--tracker",
    "detector_node": "--detector",
    "builder_node": "--builder",
}
"""Of the command ``detect_and_track``."""


def _nodes(context: LaunchContext) -> list[Node]:
    """Make the nodes once the arguments are known."""
    plans = _detect.plan(context)
    given = _detect.read_arguments(context, ARGUMENTS)
    tracker = _detect.read_parameters(context, TRACKER_PARAMETERS)
    detector = plans[0].overrides
    if "detection_topics" not in tracker and "image_topics" in detector:
        tracker["detection_topics"] = _detections_beside(detector["image_topics"])
    tracker.update({name: detector[name] for name in _detect.SHARED_PARAMETERS if name in detector})
    file = _detect.params_file(given, "tracker_params_file")
    # First, as it listens to the others.
    plans.insert(0, _detect.NodePlan("tracker_node", given["tracker_name"], file, tracker))
    if not given["one_process"]:
        return _detect.start_each(context, plans)
    namespace = LaunchConfiguration("namespace").perform(context).strip(" /")
    arguments = [word for each in plans for word in _section(each, namespace)]
    return [_detect.start(context, "detect_and_track", arguments=arguments)]


def _detections_beside(image_topics: list[str]) -> list[str]:
    """Return where the detector answers these cameras."""
    from jetson_detect.core.camera_topic_names import namespace_beside
    from jetson_detect.core.topic_patterns import is_pattern

    patterns = [topic for topic in image_topics if is_pattern(topic)]
    if patterns:
        raise ValueError(
            f"image_topics:={patterns[0]} is a pattern, and the tracker has to know its topics: "
            "give detection_topics"
        )
    namespaces = map(namespace_beside, image_topics)
    return [f"{namespace}/detections" if namespace else "detections" for namespace in namespaces]


def _section(each: "_detect.NodePlan", namespace: str) -> list[str]:
    """Tell the command what is for one of its nodes alone."""
    words = [_SECTIONS[each.executable], "-r", f"__node:={each.name}"]
    words += ["--params-file", str(each.params_file)]
    if each.overrides:
        # By the node's whole name: no section of the file is more exact.
        node = "/".join(["", *filter(None, [namespace, each.name])])
        with NamedTemporaryFile("w", prefix="launch_params_", suffix=".yaml", delete=False) as file:
            yaml.safe_dump({node: {"ros__parameters": each.overrides}}, file)
        words += ["--params-file", file.name]
    return words


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription(
        [
            *_detect.declarations(
                {**_detect.ARGUMENTS, **ARGUMENTS},
                _detect.PARAMETERS,
                _detect.BUILDER_PARAMETERS,
                TRACKER_PARAMETERS,
            ),
            OpaqueFunction(function=_nodes),
        ]
    )
