"""The demo, for real: three processes over DDS."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import pytest

from jetson_detect.bags.reader import BagReader
from jetson_detect.commands.demo import DemoOptions, lock_step_problems

DEMO = "jetson_detect.commands.demo"
FRAMES = 24


def test_lost_frames_are_told_by_their_numbers() -> None:
    options = DemoOptions(output=Path("out"))
    fine = {"problem": "", "lost": [], "sent": 200, "answered": 200}
    assert lock_step_problems(options, fine, 200) == []
    lost = {**fine, "lost": [{"frame": 7}, {"frame": 9}], "answered": 198}
    assert lock_step_problems(options, lost, 198) == [
        "2 of 200 frames were lost, which in lock-step must not happen: frame 7, 9; "
        "see out/logs/detector.log"
    ]
    assert lock_step_problems(options, fine, 150) == [
        "the observer saw 150 of 200 answers; is the machine overloaded?"
    ]
    stuck = {**fine, "problem": "nobody listens"}
    assert lock_step_problems(options, stuck, 200) == ["the replay did not finish: nobody listens"]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One output folder for all: the bag is drawn once."""
    return tmp_path_factory.mktemp("demo") / "output"


def start_demo(graph: Any, output: Path, *arguments: object) -> Any:
    return graph.start(DEMO, "--output", output, "--frames", FRAMES, *arguments)


def processes_of(output: Path) -> dict[int, str]:
    """Living processes that were started with this output folder, by their id."""
    mark = f"ROS_LOG_DIR={output}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue  # it has just ended, or is somebody else's
    return found


@pytest.mark.dds
def test_the_demo_detects_every_frame_of_the_bag_and_shows_what_it_found(
    graph: Any, output: Path
) -> None:
    process = start_demo(graph, output)
    assert process.wait(90) == 0, process.output
    assert f"drawing {FRAMES} scenes" in process.output
    assert f"{FRAMES} frames sent in lock-step, 0 lost, {FRAMES} answers seen" in process.output
    assert "Traceback" not in process.output
    report = json.loads((output / "report.json").read_text())
    assert report["frames"] == report["compared"] == FRAMES
    assert report["map50"] >= 0.9
    assert report["problems"] == []
    pictures = sorted((output / "frames").iterdir())
    assert [path.name for path in pictures[:2]] == ["frame_000000.jpg", "frame_000002.jpg"]
    assert len(pictures) == 12
    sheet = cv2.imread(str(output / "frames.png"))
    assert sheet is not None
    assert sheet.shape == (720, 1280, 3)
    with BagReader(output / "detections") as bag:
        assert bag.topics["/camera/detections"].count >= FRAMES
    assert processes_of(output) == {}


@pytest.mark.dds
def test_the_demo_with_a_camera_fails_if_the_accuracy_is_too_low(graph: Any, output: Path) -> None:
    process = start_demo(graph, output, "--source", "camera", "--min-map50", 1.1)
    assert process.wait(90) == 1
    assert f"{FRAMES} frames answered" in process.output
    assert "at least 1.1 is required" in process.output
    assert "Traceback" not in process.output
    assert processes_of(output) == {}


@pytest.mark.dds
def test_a_detector_that_does_not_start_ends_the_demo_with_the_end_of_its_log(
    graph: Any, output: Path
) -> None:
    process = start_demo(graph, output, "--model", "/nowhere/model")
    assert process.wait(60) == 1
    assert "demo: the detector refused" in process.output
    assert f"its log, {output}/logs/detector.log, ends with:" in process.output
    assert "/nowhere/model" in process.output
    assert "Traceback" not in process.output
    assert processes_of(output) == {}


@pytest.mark.dds
def test_a_detector_that_ends_early_ends_the_demo(graph: Any, output: Path) -> None:
    process = start_demo(graph, output, "--source", "camera", "--frames", 100_000)
    process.wait_for_output(" fps", 60)
    (detector,) = (
        number for number, command in processes_of(output).items() if "detector_node" in command
    )
    os.kill(detector, signal.SIGTERM)
    assert process.wait(30) == 1
    assert "demo: the detector ended with status 0; its log, " in process.output
    assert "Traceback" not in process.output
    assert processes_of(output) == {}


@pytest.mark.dds
@pytest.mark.parametrize(
    ("number", "status", "moment"),
    [
        (signal.SIGINT, 130, "detector and observer in ROS domain"),
        (signal.SIGTERM, 143, " fps"),
    ],
)
def test_a_demo_that_is_stopped_stops_its_processes(
    graph: Any, output: Path, number: signal.Signals, status: int, moment: str
) -> None:
    process = start_demo(graph, output, "--source", "camera", "--frames", 100_000)
    process.wait_for_output(moment, 60)
    assert process.stop(number) == status
    assert "demo: stopped" in process.output
    assert "Traceback" not in process.output
    assert processes_of(output) == {}
