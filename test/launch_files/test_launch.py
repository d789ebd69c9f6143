"""The launch files, run by the real launch_ros wherever that is installed.

No registry has launch_ros: with ROS from PyPI only the tests of the files' text run.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile
from vision_msgs.msg import Detection2DArray

from jetson_detect.nodes.builder_config import BuilderConfig
from jetson_detect.nodes.detector_config import DetectorConfig
from jetson_detect.nodes.parameters import specifications
from jetson_detect.nodes.scene_camera_node import SceneCameraConfig
from jetson_detect.nodes.tracker_config import TrackerConfig
from jetson_detect.share import find_model
from jetson_detect.transport import shared_memory_environment

FOLDER = Path(__file__).resolve().parents[2] / "launch"
FILES = sorted(path.name for path in FOLDER.glob("*.launch.py"))
(PROFILE,) = shared_memory_environment()

# -- what can be told from the text alone ---------------------------------------------------------


def literal_keys(dictionary: ast.expr) -> set[str]:
    assert isinstance(dictionary, ast.Dict)
    return {ast.literal_eval(key) for key in dictionary.keys if key is not None}


def value_of(file: str, name: str) -> ast.expr:
    """What a launch file defines at its top."""
    for statement in ast.parse((FOLDER / file).read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return statement.value
    raise AssertionError(f"{file} has no {name}")


def keys_of(file: str, table: str) -> set[str]:
    return literal_keys(value_of(file, table))


def literal_of(file: str, name: str) -> Any:
    return ast.literal_eval(value_of(file, name))


def keyword_of(file: str, call: str, keyword: str) -> ast.expr:
    """What a launch file's only call of a name gives for a keyword."""
    (found,) = (
        node
        for node in ast.walk(ast.parse((FOLDER / file).read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == call
    )
    return next(each.value for each in found.keywords if each.arg == keyword)


def parameters_of(config: type) -> set[str]:
    return {each.name for each in specifications(config)} | {"use_sim_time"}


@pytest.mark.parametrize("file", FILES)
def test_a_launch_file_is_valid_python_that_describes_a_launch(file):
    namespace = compile((FOLDER / file).read_text(), file, "exec").co_names
    assert "generate_launch_description" in namespace


def test_detect_launch_sets_only_parameters_that_the_detector_has():
    assert keys_of("detect.launch.py", "PARAMETERS") <= parameters_of(DetectorConfig)


def test_detect_launch_sets_only_parameters_that_the_builder_has():
    shared = set(literal_of("detect.launch.py", "SHARED_PARAMETERS"))
    own = keys_of("detect.launch.py", "BUILDER_PARAMETERS")
    assert own | shared <= parameters_of(BuilderConfig)
    assert shared <= keys_of("detect.launch.py", "PARAMETERS")


def test_detect_and_track_launch_sets_only_parameters_that_the_tracker_has():
    own = keys_of("detect_and_track.launch.py", "TRACKER_PARAMETERS")
    shared = set(literal_of("detect.launch.py", "SHARED_PARAMETERS"))
    assert own | shared <= parameters_of(TrackerConfig)


def test_no_two_parameters_of_detect_and_track_launch_share_an_argument():
    """Those of all nodes are arguments side by side."""
    tables = [
        keys_of("detect.launch.py", name)
        for name in ("ARGUMENTS", "PARAMETERS", "BUILDER_PARAMETERS")
    ]
    tables += [
        keys_of("detect_and_track.launch.py", name) for name in ("ARGUMENTS", "TRACKER_PARAMETERS")
    ]
    assert sum(map(len, tables)) == len(set().union(*tables))


def test_demo_launch_sets_only_parameters_that_the_camera_has():
    parameters = keyword_of("demo.launch.py", "Node", "parameters")
    assert isinstance(parameters, ast.List)
    assert literal_keys(parameters.elts[0]) <= parameters_of(SceneCameraConfig)


def test_demo_launch_passes_only_arguments_that_detect_launch_declares():
    passed = keyword_of("demo.launch.py", "IncludeLaunchDescription", "launch_arguments")
    assert isinstance(passed, ast.Call)
    assert isinstance(passed.func, ast.Attribute)
    assert literal_keys(passed.func.value) <= (
        keys_of("detect.launch.py", "ARGUMENTS") | keys_of("detect.launch.py", "PARAMETERS")
    )


# -- with the real launch_ros ---------------------------------------------------------------------

RUNNER = """
import os
import sys

# Not a checkout in the current folder, but what is installed.
sys.path = [folder for folder in sys.path if folder not in ("", os.getcwd())]

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = sys.argv[2:]
service = LaunchService(argv=arguments, noninteractive="ON_A_TERMINAL" not in os.environ)
service.include_launch_description(
    LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(sys.argv[1]),
                launch_arguments=[argument.split(":=", 1) for argument in arguments],
            )
        ]
    )
)
sys.exit(service.run())
"""


def installed_prefix() -> Path:
    """Where the package is installed; skips where the launch files cannot be run."""
    try:
        # Not `launch` alone: that may be this repository's folder, as a namespace package.
        importlib.import_module("launch.actions")
        importlib.import_module("launch_ros.actions")
    except ImportError as error:
        pytest.skip(f"launch_ros is not installed ({error})")
    try:
        prefix = Path(get_package_prefix("jetson_detect"))
    except PackageNotFoundError:
        pytest.skip("jetson_detect is in no ROS prefix (colcon build, and source setup.bash)")
    if not (prefix / "lib" / "jetson_detect" / "detector_node").exists():
        pytest.skip(f"jetson_detect's programs are not installed in {prefix}")
    return prefix


class Launched:
    """A launch file that runs in a process of its own, and what can be asked about it."""

    def __init__(self, graph: Any, folder: Path, file: str, arguments: tuple[str, ...]) -> None:
        self.graph = graph
        self.one_process = ""
        """What detect_and_track.launch.py was given."""
        self.share = installed_prefix() / "share" / "jetson_detect"
        (folder / "run_launch_file.py").write_text(RUNNER)
        path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        graph.environment["PYTHONPATH"] = path.rstrip(os.pathsep)
        graph.environment.pop(PROFILE, None)  # for the tests' own processes
        self.process = graph.start("run_launch_file", self.share / "launch" / file, *arguments)

    def pids(self, executable: str) -> list[int]:
        """Processes that were started, oldest first."""
        pattern = rf"\[{executable}-\d+\]: process started with pid \[(\d+)\]"
        return [int(pid) for pid in re.findall(pattern, self.process.output)]

    def environment(self, executable: str = "detector_node") -> dict[str, str]:
        """A running node's."""
        text = Path(f"/proc/{self.pids(executable)[0]}/environ").read_text()
        return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)

    def parameter(self, node: str, name: str) -> Any:
        request = GetParameters.Request(names=[name])
        (value,) = self.graph.call(GetParameters, f"{node}/get_parameters", request).values
        value = parameter_value_to_python(value)
        return list(value) if isinstance(value, (list, tuple)) else value

    def state(self, node: str) -> int:
        return self.graph.call(GetState, f"{node}/get_state", GetState.Request()).current_state.id


Launch = Callable[..., Launched]


@pytest.fixture
def launch(graph: Any, tmp_path: Path) -> Launch:
    installed_prefix()
    return lambda file, *arguments: Launched(graph, tmp_path, file, arguments)


ROBOT_EYE = "/robot/eye"
GIVEN: dict[str, str] = {
    "namespace": "robot",
    "name": "eye",
    "image_topics": "/front/image_raw, /rear/image_raw",
    "model": "2024",
    "backends": "onnxruntime, auto",
    "require": "tflite",
    "precision": "int8",
    "class_id_format": "index",
    "score_threshold": "1",
    "use_sim_time": "true",
    "autostart": "false",
    "log_level": "warn",
    "respawn": "true",
    "dds_profile": "false",
}
DETECTORS_FILE = """
/**:
  ros__parameters:
    model: other
    max_detections: 7
    opencv_threads: 3
    transport: {receive: raw, publish: typed}
    tensorrt: {preprocessing: cpu, spin: true}
"""
ARRIVES_FROM_THE_FILE: dict[str, Any] = {
    "max_detections": 7,
    "opencv_threads": 3,
    "transport.receive": "raw",
    "transport.publish": "typed",
    "tensorrt.preprocessing": "cpu",
    "tensorrt.spin": True,
}
ARRIVES: dict[str, Any] = {
    "image_topics": ["/front/image_raw", "/rear/image_raw"],
    "model": "2024",
    "backends": ["onnxruntime", "auto"],
    "require": "tflite",
    "precision": "int8",
    "class_id_format": "index",
    "score_threshold": 1.0,
    "use_sim_time": True,
    "autostart": False,
}


@pytest.fixture(scope="module")
def everything_given(shared_graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    installed_prefix()
    params_file = tmp_path_factory.mktemp("given") / "params.yaml"
    params_file.write_text(DETECTORS_FILE)
    arguments = [f"{name}:={value}" for name, value in GIVEN.items()]
    return Launched(
        shared_graph,
        params_file.parent,
        "detect.launch.py",
        (*arguments, f"params_file:={params_file}"),
    )


FIELD_BUILDER = "/field/engine_builder"
BUILDER_GIVEN: dict[str, str] = {
    "namespace": "field",
    "name": "eye",
    "build": "true",
    "precisions": "int8, fp16",
    "use_sim_time": "true",
    "autostart": "false",
    "log_level": "warn",
    "dds_profile": "false",
}
BUILDERS_FILE = """
/**:
  ros__parameters:
    model_folders: [/no/such/folder]
    models: [other]
    precisions: [fp32]
    workspace_mb: 77
    proof: {count: 9}
"""
ARRIVES_AT_THE_BUILDER: dict[str, Any] = {
    "models": ["2024"],
    "precisions": ["int8", "fp16"],
    "use_sim_time": True,
    "autostart": False,
    "workspace_mb": 77,
    "proof.count": 9,
}


def model_named(name: str, folder: Path) -> Path:
    """Copy a model, so that it is none of those that come with the package."""
    shutil.copytree(find_model("demo"), folder / name)
    return folder / name


@pytest.fixture(scope="module")
def given_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name is a number, in one whose name has a space."""
    return model_named("2024", tmp_path_factory.mktemp("given") / "all models")


@pytest.fixture(scope="module")
def builder_given(
    shared_graph: Any, given_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Launched:
    installed_prefix()
    params_file = tmp_path_factory.mktemp("given") / "builder.yaml"
    params_file.write_text(BUILDERS_FILE)
    arguments = [f"{name}:={value}" for name, value in BUILDER_GIVEN.items()]
    return Launched(
        shared_graph,
        params_file.parent,
        "detect.launch.py",
        (
            *arguments,
            f"model:={given_model / 'model.yaml'}",
            f"builder_params_file:={params_file}",
        ),
    )


PROCESSES = {
    "false": ["tracker_node", "detector_node", "builder_node"],
    "true": ["detect_and_track"],
}
"""By ``one_process``."""
TRACKING_GIVEN: dict[str, str] = {
    **GIVEN,
    "build": "true",
    "precisions": "int8",
    "tracker_name": "follower",
    "detection_topics": "[/front/detections, elsewhere]",
    "algorithm": "my_tracking:make",
    "publish": "all",
    "max_age_s": "2",
    "min_hits": "5",
    "per_class": "false",
    "smoothing": "0.5",
}
TRACKERS_FILE = """
/**:
  ros__parameters:
    max_age_s: 9.0
    new_track_score: 0.75
    detections_qos: {reliability: reliable}
follower:
  ros__parameters:
    min_hits: 9
"""
ARRIVES_AT_THE_TRACKER: dict[str, Any] = {
    "detection_topics": ["/front/detections", "elsewhere"],
    "algorithm": "my_tracking:make",
    "publish": "all",
    "max_age_s": 2.0,
    "min_hits": 5,
    "per_class": False,
    "smoothing": 0.5,
    "use_sim_time": True,
    "autostart": False,
    "new_track_score": 0.75,
    "detections_qos.reliability": "reliable",
}


@pytest.fixture(scope="module", params=PROCESSES, ids=["three processes", "one process"])
def tracking_given(
    request: Any, shared_graph: Any, tmp_path_factory: pytest.TempPathFactory
) -> Launched:
    """All arguments of detect_and_track.launch.py, in a namespace for each way to run them."""
    installed_prefix()
    folder = tmp_path_factory.mktemp("given")
    files = {
        "params_file": DETECTORS_FILE,
        "builder_params_file": BUILDERS_FILE,
        "tracker_params_file": TRACKERS_FILE,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    given = {
        **TRACKING_GIVEN,
        **{name: str(folder / name) for name in files},
        "one_process": request.param,
        "namespace": NAMESPACES[request.param].strip("/"),
        "model": "demo",
    }
    arguments = [f"{name}:={value}" for name, value in given.items()]
    launched = Launched(shared_graph, folder, "detect_and_track.launch.py", tuple(arguments))
    launched.one_process = request.param
    return launched


NAMESPACES = {"false": "/yard/apart", "true": "/yard/together"}


def test_these_tests_give_every_argument_of_detect_and_track():
    arguments = keys_of("detect_and_track.launch.py", "ARGUMENTS")
    parameters = keys_of("detect_and_track.launch.py", "TRACKER_PARAMETERS")
    of_the_detector = GIVEN.keys() | {"build", "precisions"}
    assert TRACKING_GIVEN.keys() | {"one_process", "tracker_params_file"} == (
        arguments | parameters | of_the_detector
    )
    assert parameters <= ARRIVES_AT_THE_TRACKER.keys()
    defaults = {each.name: each.default for each in specifications(TrackerConfig)}
    assert not [
        name for name, value in ARRIVES_AT_THE_TRACKER.items() if defaults.get(name) == value
    ]


def test_these_tests_give_every_argument():
    arguments = keys_of("detect.launch.py", "ARGUMENTS")
    parameters = keys_of("detect.launch.py", "PARAMETERS")
    own = keys_of("detect.launch.py", "BUILDER_PARAMETERS")
    shared = set(literal_of("detect.launch.py", "SHARED_PARAMETERS"))
    files = {"params_file", "builder_params_file"}
    assert GIVEN.keys() | BUILDER_GIVEN.keys() | files == arguments | parameters | own
    assert ARRIVES.keys() == parameters
    assert own | shared <= ARRIVES_AT_THE_BUILDER.keys() & BUILDER_GIVEN.keys()


@pytest.mark.dds
@pytest.mark.parametrize("name", ARRIVES)
def test_an_argument_reaches_its_parameter_of_the_named_node(everything_given, name):
    value = everything_given.parameter(ROBOT_EYE, name)
    assert value == ARRIVES[name]
    assert type(value) is type(ARRIVES[name])


@pytest.mark.dds
@pytest.mark.parametrize("name", ARRIVES_FROM_THE_FILE)
def test_what_only_the_parameter_file_says_reaches_the_node(everything_given, name):
    assert everything_given.parameter(ROBOT_EYE, name) == ARRIVES_FROM_THE_FILE[name]


def test_what_these_tests_write_into_the_parameter_files_is_no_default():
    for config, given in (
        (DetectorConfig, ARRIVES_FROM_THE_FILE),
        (BuilderConfig, ARRIVES_AT_THE_BUILDER),
    ):
        defaults = {each.name: each.default for each in specifications(config)}
        assert not [name for name in given if defaults.get(name) == given[name]]


@pytest.mark.dds
def test_without_autostart_the_node_waits_to_be_configured(everything_given):
    assert everything_given.state(ROBOT_EYE) == State.PRIMARY_STATE_UNCONFIGURED


@pytest.mark.dds
def test_the_log_level_reaches_the_node(everything_given):
    assert everything_given.parameter(ROBOT_EYE, "autostart") is False
    assert "waiting to be configured" not in everything_given.process.output


@pytest.mark.dds
def test_the_dds_profile_can_be_left_out(everything_given):
    assert everything_given.parameter(ROBOT_EYE, "autostart") is False
    assert everything_given.environment()[PROFILE] == ""


@pytest.mark.dds
def test_a_node_that_is_killed_is_started_again_if_that_is_asked_for(launch):
    running = launch("detect.launch.py", "autostart:=false", "respawn:=true", "build:=true")

    def have_started(times: int) -> bool:
        ready = [f"[{name}]: waiting to be configured" for name in ("detector", "engine_builder")]
        return all(running.process.output.count(text) == times for text in ready)

    running.graph.spin_until(lambda: have_started(1), what="the nodes' first start")
    for executable in ("detector_node", "builder_node"):
        os.kill(running.pids(executable)[0], signal.SIGKILL)
    running.graph.spin_until(lambda: have_started(2), what="the nodes' next start")


@pytest.mark.dds
@pytest.mark.parametrize("as_ctrl_c", [False, True], ids=["launch alone", "as Ctrl-C does"])
def test_without_arguments_the_detector_runs_until_sigint(launch, graph, as_ctrl_c):
    if as_ctrl_c:
        graph.environment["ON_A_TERMINAL"] = "1"
    running = launch("detect.launch.py")
    running.process.wait_for_output("detecting: /image_raw -> /detections")
    defaults = yaml.safe_load((running.share / "config" / "detector.yaml").read_text())
    defaults = defaults["/**"]["ros__parameters"]
    for name in ("image_topics", "precision", "class_id_format", "autostart"):
        assert running.parameter("/detector", name) == defaults[name]
    assert running.state("/detector") == State.PRIMARY_STATE_ACTIVE
    assert running.environment()[PROFILE] == str(
        running.share / "config" / "fastdds_shared_memory.xml"
    )
    if as_ctrl_c:  # then launch leaves its processes to the terminal, which signals the group
        os.killpg(running.process.popen.pid, signal.SIGINT)
        assert running.process.wait() == 0
    else:
        assert running.process.stop() == 0
    assert "[detector_node-1]: process has finished cleanly" in running.process.output
    assert "Traceback" not in running.process.output


@pytest.mark.dds
@pytest.mark.parametrize("name", ARRIVES_AT_THE_BUILDER)
def test_an_argument_or_the_builders_file_reaches_the_builder(builder_given, name):
    value = builder_given.parameter(FIELD_BUILDER, name)
    assert value == ARRIVES_AT_THE_BUILDER[name]
    assert type(value) is type(ARRIVES_AT_THE_BUILDER[name])


@pytest.mark.dds
def test_the_builder_looks_for_the_model_where_the_detector_has_it(builder_given, given_model):
    folders = builder_given.parameter(FIELD_BUILDER, "model_folders")
    assert folders == [str(given_model.parent)]
    assert builder_given.parameter("/field/eye", "model") == str(given_model / "model.yaml")


@pytest.mark.dds
def test_without_autostart_detector_and_builder_both_wait(builder_given):
    for node in ("/field/eye", FIELD_BUILDER):
        assert builder_given.state(node) == State.PRIMARY_STATE_UNCONFIGURED


@pytest.mark.dds
def test_log_level_and_dds_profile_reach_the_builder(builder_given):
    assert builder_given.parameter(FIELD_BUILDER, "autostart") is False
    assert "waiting to be configured" not in builder_given.process.output
    assert builder_given.environment("builder_node")[PROFILE] == ""


@pytest.mark.dds
@pytest.mark.parametrize("name", ARRIVES_AT_THE_TRACKER)
def test_an_argument_or_the_trackers_file_reaches_the_tracker(tracking_given, name):
    node = f"{NAMESPACES[tracking_given.one_process]}/follower"
    value = tracking_given.parameter(node, name)
    assert value == ARRIVES_AT_THE_TRACKER[name]
    assert type(value) is type(ARRIVES_AT_THE_TRACKER[name])


@pytest.mark.dds
def test_what_is_for_detector_and_builder_reaches_them_beside_a_tracker(tracking_given):
    namespace = NAMESPACES[tracking_given.one_process]
    for name, value in {**ARRIVES, **ARRIVES_FROM_THE_FILE, "model": "demo"}.items():
        assert tracking_given.parameter(f"{namespace}/eye", name) == value, name
    for name, value in (("precisions", ["int8"]), ("workspace_mb", 77), ("models", ["demo"])):
        assert tracking_given.parameter(f"{namespace}/engine_builder", name) == value


@pytest.mark.dds
def test_detector_tracker_and_builder_run_in_as_many_processes_as_asked_for(tracking_given):
    namespace = NAMESPACES[tracking_given.one_process]
    for name in ("follower", "eye", "engine_builder"):
        assert tracking_given.state(f"{namespace}/{name}") == State.PRIMARY_STATE_UNCONFIGURED
    for executable in [*PROCESSES["false"], *PROCESSES["true"]]:
        started = executable in PROCESSES[tracking_given.one_process]
        assert len(tracking_given.pids(executable)) == started
        if started:
            assert tracking_given.environment(executable)[PROFILE] == ""
    # The log level arrived, and no node was told what is for another.
    assert "waiting to be configured" not in tracking_given.process.output
    assert "there is no parameter" not in tracking_given.process.output


@pytest.mark.dds
@pytest.mark.parametrize("one_process", PROCESSES)
def test_tracks_come_beside_the_detections_of_the_cameras_that_are_named(
    launch, graph, one_process
):
    pytest.importorskip("trackforge", reason="trackforge is not installed")
    arrays: list[Detection2DArray] = []
    graph.node().create_subscription(Detection2DArray, "/front/tracks", arrays.append, 10)
    running = launch(
        "detect_and_track.launch.py",
        "image_topics:=/front/image_raw, /rear/image_raw",
        "score_threshold:=0.1",
        f"one_process:={one_process}",
    )
    camera = ("-r", "__ns:=/front", "-p", "rate:=15.0")
    graph.start("jetson_detect.commands.scene_camera", "--ros-args", *camera)
    graph.spin_until(lambda: any(each.detections for each in arrays), what="tracks")
    assert running.parameter("/tracker", "detection_topics") == [
        "/front/detections",
        "/rear/detections",
    ]
    assert all(detection.id for array in arrays for detection in array.detections)
    assert running.process.stop() == 0
    for number, executable in enumerate(PROCESSES[one_process][:2], 1):
        assert f"[{executable}-{number}]: process has finished cleanly" in running.process.output


@pytest.mark.dds
@pytest.mark.parametrize("one_process", PROCESSES)
def test_without_its_library_the_tracker_is_reported_with_the_remedy(launch, tmp_path, one_process):
    (tmp_path / "trackforge.py").write_text("raise ImportError('taken away')")
    running = launch("detect_and_track.launch.py", f"one_process:={one_process}")
    running.process.wait_for_output(f"[{PROCESSES[one_process][0]}-1]: process has died")
    assert "pip install 'trackforge" in running.process.output
    if one_process == "false":
        running.process.wait_for_output("detecting: /image_raw -> /detections")
    else:
        running.process.wait()  # nothing runs any more, so the launch ends by itself


@pytest.mark.dds
@pytest.mark.parametrize("kind", ["name", "folder"])
def test_the_builder_builds_the_detectors_model_and_ends_with_it(launch, tmp_path, kind):
    params_file = tmp_path / "params.yaml"
    params_file.write_text(BUILDERS_FILE)
    share = installed_prefix() / "share" / "jetson_detect"
    folder = share / "models" / "demo"
    if kind == "folder":
        folder = model_named("parking", tmp_path / "models")
    running = launch(
        "detect.launch.py",
        f"model:={'demo' if kind == 'name' else folder}",
        "build:=true",
        "autostart:=false",
        f"builder_params_file:={params_file}",
    )
    assert running.parameter("/engine_builder", "models") == [folder.name]
    assert running.parameter("/engine_builder", "model_folders") == [str(folder.parent)]
    assert running.parameter("/engine_builder", "precisions") == ["fp32"]
    for executable in ("detector_node", "builder_node"):
        assert running.environment(executable)[PROFILE] == str(
            share / "config" / "fastdds_shared_memory.xml"
        )
    running.process.wait_for_output("[detector]: waiting to be configured")
    running.process.wait_for_output("[engine_builder]: waiting to be configured")
    assert running.process.stop() == 0
    for process in ("detector_node-1", "builder_node-2"):
        assert f"[{process}]: process has finished cleanly" in running.process.output


@pytest.mark.dds
@pytest.mark.parametrize(
    ("tensorrt", "reason"),
    [
        ("raise ImportError('taken away')", "tensorrt cannot be imported (taken away)"),
        ("__version__ = '8.6.1'", "NVIDIA driver"),
    ],
    ids=["without TensorRT", "without a GPU"],
)
def test_a_builder_that_cannot_build_says_why_and_the_detector_goes_on(
    launch, graph, tmp_path, tensorrt, reason
):
    (tmp_path / "tensorrt.py").write_text(tensorrt)  # found before an installed one
    graph.environment["CUDA_VISIBLE_DEVICES"] = ""
    arrays: list[Detection2DArray] = []
    results: list[str] = []

    def read_progress(progress: DiagnosticStatus) -> None:
        if progress.level == DiagnosticStatus.WARN:
            values = {each.key: each.value for each in progress.values}
            results.append(values["result: demo fp16"])

    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node = graph.node()
    node.create_subscription(Detection2DArray, "/detections", arrays.append, 10)
    node.create_subscription(DiagnosticStatus, "/engine_builder/progress", read_progress, latched)
    running = launch("detect.launch.py", "build:=true")
    graph.start("jetson_detect.commands.scene_camera", "--ros-args", "-p", "rate:=10.0")
    graph.spin_until(lambda: results, what="the builder's failure")
    assert results[0].startswith("failed: ")
    assert reason in results[0]
    arrays.clear()
    graph.spin_until(lambda: len(arrays) >= 5, what="detections after the builder's failure")
    assert any(array.detections for array in arrays)
    for name in ("/detector", "/engine_builder"):
        assert running.state(name) == State.PRIMARY_STATE_ACTIVE
    running.process.wait_for_output(reason)
    # Once: what failed is not tried again by itself.
    assert running.process.output.count(reason) == 1


@pytest.mark.dds
def test_a_builder_that_does_not_start_leaves_the_detector_running(launch):
    running = launch("detect.launch.py", "build:=true", "precisions:=fp16, fp12")
    running.process.wait_for_output("[builder_node-2]: process has died")
    assert "fp12" in running.process.output
    running.process.wait_for_output("detecting: /image_raw -> /detections")
    assert running.state("/detector") == State.PRIMARY_STATE_ACTIVE


@pytest.mark.dds
def test_without_being_asked_for_no_builder_starts(launch):
    running = launch("detect.launch.py", "autostart:=false")
    running.process.wait_for_output("waiting to be configured")
    assert running.pids("builder_node") == []


@pytest.mark.dds
def test_a_profile_that_the_environment_names_stays(launch, graph, tmp_path):
    own = tmp_path / "own.xml"
    own.write_text('<dds xmlns="http://www.eprosima.com"></dds>')
    other_names = {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"} - {PROFILE}
    graph.environment.update(dict.fromkeys(other_names, str(own)))
    running = launch("detect.launch.py", "autostart:=false")
    running.process.wait_for_output("waiting to be configured")
    assert PROFILE not in running.environment()


@pytest.mark.dds
def test_an_argument_wins_over_the_section_of_this_very_node_in_the_file(launch, tmp_path):
    params_file = tmp_path / "params.yaml"
    params_file.write_text(
        "/robot/eye: {ros__parameters: {autostart: false, score_threshold: 0.7, threads: 1}}"
    )
    running = launch(
        "detect.launch.py",
        "namespace:=/robot",
        "name:=eye",
        f"params_file:={params_file}",
        "score_threshold:=0.25",
    )
    assert running.parameter(ROBOT_EYE, "score_threshold") == 0.25
    assert running.parameter(ROBOT_EYE, "threads") == 1
    assert running.parameter(ROBOT_EYE, "autostart") is False


@pytest.mark.dds
def test_a_detector_that_cannot_start_is_reported_with_its_reason(launch):
    running = launch("detect.launch.py", "model:=/no/such/model")
    running.process.wait_for_output("[detector_node-1]: process has died")
    assert "/no/such/model" in running.process.output
    running.process.wait()  # nothing runs any more, so the launch ends by itself


@pytest.mark.parametrize(
    "argument",
    [
        "score_threshold:=high",
        "autostart:=perhaps",
        "dds_profile:=maybe",
        "image_topics:=/front/image_raw,,/rear/image_raw",
        "params_file:=/no/such/file.yaml",
        "build:=perhaps",
        "precisions:=fp16,,int8",
    ],
)
def test_an_argument_that_cannot_be_read_is_named_and_nothing_starts(launch, argument):
    running = launch("detect.launch.py", argument)
    assert running.process.wait() == 1
    assert argument.partition(":=")[0] in running.process.output
    assert argument.partition(":=")[2] in running.process.output
    assert not running.pids("detector_node")


@pytest.mark.parametrize(
    "argument",
    [
        "score_threshold:=high",
        "one_process:=perhaps",
        "max_age_s:=long",
        "tracker_params_file:=/no/such/file.yaml",
        "image_topics:=/robot*/image_raw",
    ],
)
def test_what_detect_and_track_cannot_read_is_named_and_nothing_starts(launch, argument):
    running = launch("detect_and_track.launch.py", argument)
    assert running.process.wait() == 1
    assert argument.partition(":=")[0] in running.process.output
    assert argument.partition(":=")[2] in running.process.output
    assert "process started" not in running.process.output


def test_a_parameter_file_of_the_builder_that_is_missing_is_named_and_nothing_starts(launch):
    running = launch("detect.launch.py", "build:=true", "builder_params_file:=/no/such/file.yaml")
    assert running.process.wait() == 1
    assert "builder_params_file: there is no file '/no/such/file.yaml'" in running.process.output
    assert not running.pids("detector_node")


@pytest.mark.dds
def test_the_demo_detects_what_its_camera_shows(launch, graph):
    running = launch("demo.launch.py", "camera:=front", "rate:=10")
    arrays: list[Detection2DArray] = []
    graph.node().create_subscription(Detection2DArray, "/front/detections", arrays.append, 10)
    graph.spin_until(lambda: len(arrays) >= 5, what="detections")
    assert {array.header.frame_id for array in arrays} == {"camera"}
    assert running.parameter("/front/scene_camera", "rate") == 10.0
    assert running.parameter("/front/detector", "image_topics") == ["image_raw"]
    assert running.process.stop() == 0
    for process in ("scene_camera-1", "detector_node-2"):
        assert f"[{process}]: process has finished cleanly" in running.process.output


@pytest.mark.parametrize("file", FILES)
def test_the_arguments_are_described(launch, tmp_path, file):
    """``ros2 launch … --show-args`` prints what each argument is for."""
    share = installed_prefix() / "share" / "jetson_detect"
    script = tmp_path / "describe.py"
    script.write_text(
        "import sys\n"
        "from launch.launch_description_sources import "
        "get_launch_description_from_python_launch_file as load\n"
        "for a in load(sys.argv[1]).get_launch_arguments():\n"
        "    print(a.name, '|', a.description)\n"
    )
    output = subprocess.run(
        [sys.executable, script, share / "launch" / file],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    described = dict(line.split(" | ") for line in output.splitlines() if " | " in line)
    table = "_ARGUMENTS" if file == "demo.launch.py" else "ARGUMENTS"
    assert keys_of(file, table) <= described.keys()
    if file == "detect_and_track.launch.py":
        assert keys_of("detect.launch.py", "ARGUMENTS") <= described.keys()
    assert all(len(text) > 10 for text in described.values())
