"""``replay --offline``: bags as tests, in this process."""

from __future__ import annotations

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.demo_bag import DemoBagConfig, write_demo_bag
from jetson_detect.bags.played_topics import DETECTIONS
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.stamps import read_stamp
from jetson_detect.bags.writer import BagWriter
from jetson_detect.commands.replay.command import main

IMAGES, TRUTH, ANSWERS = "/camera/image_raw", "/camera/ground_truth", "/camera/detections"
FRAMES = 16
FAST = ("--offline", "--backends", "tflite", "--threads", "1")
Replay = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo bag with objects in it."""
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_demo_bag(path, DemoBagConfig(frames=FRAMES, fps=10.0, width=320, height=240))
    return path


@pytest.fixture
def replay(bag: Path, capsys: pytest.CaptureFixture[str]) -> Replay:
    """Run the command on the bag; returns its exit status and what it printed."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(bag), *FAST, *map(str, arguments)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return status, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def golden(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detections of a run of the bag."""
    path = tmp_path_factory.mktemp("bags") / "golden"
    assert main([str(bag), *FAST, "--compare", str(path), "--update-golden", "--quiet"]) == 0
    return path


def recorded(path: Path) -> list[Any]:
    with BagReader(path) as reader:
        return list(reader.messages())


def without(golden: Path, path: Path, frame: int) -> int:
    """Copy a golden bag, but leave out one frame's objects; returns how many these are."""
    removed = 0
    with BagWriter(path) as bag:
        bag.add_topic(ANSWERS, DETECTIONS)
        for number, one in enumerate(recorded(golden)):
            data = one.data
            if number == frame:
                message = deserialize_message(data, Detection2DArray)
                removed = len(message.detections)
                message.detections.clear()
                data = serialize_message(message)
            bag.write(ANSWERS, one.timestamp, data)
    return removed


def busiest(golden: Path) -> int:
    """Return the frame with the most objects."""
    counts = [
        len(deserialize_message(one.data, Detection2DArray).detections) for one in recorded(golden)
    ]
    return counts.index(max(counts))


def test_the_report_is_that_of_a_replay_through_a_node_and_more(replay, bag, tmp_path):
    status, out, _ = replay("--json", tmp_path / "r.json", "--output", tmp_path / "answers")
    assert status == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["mode"], report["ending"], report["exit_status"]) == ("offline", "finished", 0)
    assert (report["sent"], report["answered"], report["lost"]) == (FRAMES, FRAMES, [])
    assert report["topics"] == {IMAGES: ANSWERS}
    assert report["by_topic"][IMAGES]["answered"] == FRAMES
    assert report["environment"]["backend"] == "tflite"
    assert 0 < report["latency_p50_ms"] <= report["latency_p99_ms"]
    assert f"answered: {FRAMES}" in out.splitlines()
    kept = recorded(tmp_path / "answers")
    assert {one.topic for one in kept} == {ANSWERS}
    images = [one for one in recorded(bag) if one.topic == IMAGES]
    assert [(read_stamp(one.data), one.timestamp) for one in kept] == [
        (read_stamp(one.data), one.timestamp) for one in images
    ]
    objects = [len(deserialize_message(one.data, Detection2DArray).detections) for one in kept]
    assert sum(objects) == report["detections"] == sum(report["detections_by_class"].values()) > 0


def test_with_keep_all_the_bag_holds_everything_and_new_answers_in_place_of_old(
    replay, bag, tmp_path
):
    assert replay("--output", tmp_path / "first", "--keep-all")[0] == 0
    first = recorded(tmp_path / "first")
    assert [one for one in first if one.topic != ANSWERS] == recorded(bag)
    again = [str(tmp_path / "first"), *FAST, "--output", str(tmp_path / "second"), "--keep-all"]
    assert main(again) == 0
    assert recorded(tmp_path / "second") == first


def test_a_run_matches_its_own_golden_bag(replay, golden):
    # Boxes are written as centre and size: the last bit of an edge may be another.
    limits = ("--max-moved-px", 0.001, "--max-score-drift", 0)
    status, out, err = replay("--compare", golden, *limits)
    assert (status, [line for line in err.splitlines() if line.startswith("replay:")]) == (0, [])
    assert "0 missed, 0 extra" in out
    assert "limits kept: 7 of 7" in out


def test_a_missed_limit_names_the_worst_frame_on_screen_and_in_each_file(replay, golden, tmp_path):
    number = busiest(golden)
    surplus = without(golden, tmp_path / "golden", number)
    files = {kind: tmp_path / f"replay.{kind}" for kind in ("json", "xml")}
    status, out, err = replay(
        "--compare", tmp_path / "golden", "--truth", TRUTH, "--min-map50", 0.5,
        "--json", files["json"], "--junit", files["xml"],
    )  # fmt: skip
    assert status == 1
    frame = f"frame {number} of {IMAGES}, stamp 170000000{number // 10}.{number % 10}00000000"
    measured = f"max_extra of {IMAGES}: {surplus} extra of "
    assert f"replay: {measured}" in err
    assert f"  {frame}: extra " in err
    assert "limits kept: 7 of 8" in out
    assert "--update-golden makes them the golden bag" in err

    document = json.loads(files["json"].read_text())
    assert document["exit_status"] == 1
    assert {check["name"]: check["passed"] for check in document["checks"]} == {
        "answered": True, "known_frames": True, "max_missed": True, "max_extra": False,
        "max_moved_px": True, "max_score_drift": True, "min_map50": True,
        "played_frames": True,
    }  # fmt: skip
    compared = document["comparison"]["golden"][IMAGES]
    assert (compared["missed"], compared["extra"]) == (0, surplus)
    assert compared["worst_frames"][0]["name"] == frame
    assert document["comparison"]["truth"][IMAGES]["map50"] >= 0.5

    suites = ElementTree.parse(files["xml"]).getroot()
    assert suites.tag == "testsuites"
    (suite,) = suites
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("drive", "8", "1")
    cases = suite.findall("testcase")
    assert {case.get("classname") for case in cases} == {"camera.image_raw"}
    (failed,) = [case for case in cases if case.find("failure") is not None]
    assert failed.get("name") == "max_extra"
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message", "").startswith(measured)
    assert frame in (failure.text or "")


def test_the_page_holds_each_limit_and_says_when_its_library_is_missing(
    replay, golden, tmp_path, monkeypatch
):
    page = tmp_path / "replay.html"
    arguments = ("--compare", golden, "--truth", TRUTH, "--min-map50-95", 1, "--html", page)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "jinja2", None)
        status, _, err = replay(*arguments)
        assert (status, page.exists()) == (2, False)
        assert "pip install jinja2" in err
    pytest.importorskip("jinja2", reason="the page needs Jinja2")
    assert replay(*arguments)[0] == 1
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("max_missed", "max_extra", "min_map50_95", "data:image/"))


@pytest.mark.parametrize(("rule", "surplus"), [((), True), (("--sure-score", 1), False)])
def test_the_page_counts_differences_by_the_rule_of_the_verdict(
    replay, golden, tmp_path, rule, surplus
):
    pytest.importorskip("jinja2", reason="the page needs Jinja2")
    page = tmp_path / "replay.html"
    removed = without(golden, tmp_path / "golden", busiest(golden))
    replay("--compare", tmp_path / "golden", "--html", page, *rule)
    counted = re.search(r"extra, by golden\W.*?>(\d+)<", page.read_text(encoding="utf-8"), re.S)
    assert counted is not None
    assert int(counted[1]) == (removed if surplus else 0)


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (("--max-extra", 100), 0),
        (("--max-extra", "100%"), 0),
        (("--max-extra", "0%"), 1),
        (("--max-extra", 100, "--max-latency-ms-p99", 1e6, "--min-fps", 0.001), 0),
        (("--max-extra", 100, "--max-latency-ms-p50", 0), 1),
        (("--max-extra", 100, "--min-fps", 1e9), 1),
        (("--max-extra", 100, "--sure-score", 1), 0),
        (("--sure-score", 1), 0),
        (("--max-extra", 100, "--min-map75", 1), 1),
    ],
)
def test_limits_decide_the_exit_status(replay, golden, tmp_path, limits, status):
    without(golden, tmp_path / "golden", busiest(golden))
    assert replay("--compare", tmp_path / "golden", *limits)[0] == status


def test_a_frame_that_the_golden_bag_does_not_have_is_no_success(replay, golden, tmp_path):
    with BagWriter(tmp_path / "short") as short:
        short.add_topic(ANSWERS, DETECTIONS)
        for one in recorded(golden)[:-2]:
            short.write(ANSWERS, one.timestamp, one.data)
    status, _, err = replay("--compare", tmp_path / "short")
    assert status == 1
    assert f"known_frames of {IMAGES}: 2 of {FRAMES} frames are not in the reference" in err


def test_a_frame_of_the_golden_bag_that_the_bag_has_lost_is_no_success(
    bag, golden, tmp_path, capsys
):
    with BagWriter(tmp_path / "short") as short:
        short.add_topic(IMAGES, "sensor_msgs/msg/Image")
        for one in [one for one in recorded(bag) if one.topic == IMAGES][:-2]:
            short.write(IMAGES, one.timestamp, one.data)
    files = {kind: tmp_path / f"replay.{kind}" for kind in ("json", "xml")}
    arguments = [str(tmp_path / "short"), *FAST, "--compare", str(golden)]
    status = main([*arguments, "--json", str(files["json"]), "--junit", str(files["xml"])])
    printed = capsys.readouterr()
    measured = f"played_frames of {IMAGES}: 2 of {FRAMES} frames of the reference are not in the"
    first_lost = f"{ANSWERS}, stamp 1700000001.400000000"
    assert status == 1
    assert f"replay: {measured} bag (required: none)\n  {first_lost}" in printed.err
    assert "--update-golden makes them the golden bag" in printed.err
    assert f"{FRAMES - 2} frames, 2 of it not played, " in printed.out
    compared = json.loads(files["json"].read_text())["comparison"]["golden"][IMAGES]
    assert (compared["frames"], compared["reference_frames"]) == (FRAMES - 2, FRAMES)
    assert len(compared["absent_frames"]) == 2
    (failure,) = ElementTree.parse(files["xml"]).getroot().iter("failure")
    assert failure.get("type") == "played_frames"
    assert failure.get("message", "").startswith(measured)
    assert first_lost in (failure.text or "")
    # Who ends a run early wants no more; who wants more than there is would have taken all.
    for limit, expected in ((FRAMES - 2, 0), (FRAMES - 3, 0), (FRAMES - 1, 1)):
        assert main([*arguments, "--quiet", "--limit", str(limit)]) == expected, limit


def test_a_camera_that_has_lost_all_its_images_is_no_success(bag, golden, tmp_path, capsys):
    with BagWriter(tmp_path / "one") as one_camera, BagWriter(tmp_path / "golden") as two:
        for topic in (IMAGES, "/rear/image_raw"):
            one_camera.add_topic(topic, "sensor_msgs/msg/Image")
        for one in recorded(bag):
            if one.topic == IMAGES:
                one_camera.write(IMAGES, one.timestamp, one.data)
        for topic in (ANSWERS, "/rear/detections"):
            two.add_topic(topic, DETECTIONS)
            for one in recorded(golden):
                two.write(topic, one.timestamp, one.data)
    arguments = ("--compare", str(tmp_path / "golden"), "--quiet")
    assert main([str(tmp_path / "one"), *FAST, *arguments]) == 1
    (failed, *_) = capsys.readouterr().err.splitlines()
    assert failed == (
        f"replay: played_frames of /rear/image_raw: {FRAMES} of {FRAMES} frames of the reference "
        "are not in the bag (required: none)"
    )
    # Who had no image in the earlier run either has lost none.
    assert main([str(tmp_path / "one"), *FAST, "--compare", str(golden), "--quiet"]) == 0


def test_the_golden_bag_is_written_anew_only_if_it_should_and_the_run_is_whole(
    replay, bag, golden, tmp_path, capsys
):
    place = tmp_path / "golden"
    without(golden, place, busiest(golden))
    before = recorded(place)
    assert replay("--compare", place)[0] == 1
    # One frame is damaged: the run is not whole.
    with BagWriter(tmp_path / "damaged") as damaged:
        damaged.add_topic(IMAGES, "sensor_msgs/msg/Image")
        for number, one in enumerate(one for one in recorded(bag) if one.topic == IMAGES):
            damaged.write(IMAGES, one.timestamp, one.data[:999] if number == 3 else one.data)
    update = ("--compare", str(place), "--update-golden")
    assert main([str(tmp_path / "damaged"), *FAST, *update]) == 1
    err = capsys.readouterr().err
    assert "no answer to frame 3 of /camera/image_raw" in err
    assert f"{place} is left as it was" in err
    assert recorded(place) == before
    # One of other topics is replaced all the same, but not compared with.
    shutil.rmtree(place)
    with BagWriter(place) as other:
        other.add_topic("/other", DETECTIONS)
    status, out, _ = replay(*update)
    assert (status, f"golden bag written: {place}" in out) == (0, True)
    assert recorded(place) == recorded(golden)
    assert "replay model: demo" in (place / "metadata.yaml").read_text()


def test_the_truth_may_be_sparse_but_not_of_another_recording(replay, bag, tmp_path, capsys):
    for name, wanted in (("sparse", lambda number: number % 4 == 0), ("none", lambda _: False)):
        with BagWriter(tmp_path / name) as made:
            made.add_topic(IMAGES, "sensor_msgs/msg/Image")
            made.add_topic(TRUTH, DETECTIONS)
            truths = 0
            for one in recorded(bag):
                if one.topic == IMAGES or wanted(truths):
                    made.write(one.topic, one.timestamp, one.data)
                truths += one.topic == TRUTH
        report = tmp_path / "r.json"
        arguments = ("--truth", TRUTH, "--max-missed", "50%", "--json", str(report))
        status = main([str(tmp_path / name), *FAST, *arguments])
        printed = capsys.readouterr()
        if name == "sparse":
            assert status == 0
            assert f"{IMAGES}: {FRAMES // 4} frames, {FRAMES * 3 // 4} unknown to it" in printed.out
        else:
            assert status == 2
            problem = f"{TRUTH}: none of the {FRAMES} frames of {IMAGES} has its"
            assert problem in printed.err
            document = json.loads(report.read_text())
            assert document["exit_status"] == 2
            assert document["problem"].startswith(problem)


def test_each_camera_is_judged_by_itself(bag, tmp_path, capsys):
    rear = ("/rear/image_raw", "/rear/ground_truth")
    with BagWriter(tmp_path / "two") as two:
        for image, truth in ((IMAGES, TRUTH), rear):
            two.add_topic(image, "sensor_msgs/msg/Image")
            two.add_topic(truth, DETECTIONS)
        for one in recorded(bag):
            two.write(one.topic, one.timestamp, one.data)
            if one.topic == TRUTH:
                # Nothing is to be seen there, says its truth.
                message = deserialize_message(one.data, Detection2DArray)
                message.detections.clear()
                two.write(rear[1], one.timestamp, serialize_message(message))
            else:
                two.write(rear[0], one.timestamp, one.data)
    status = main([
        str(tmp_path / "two"), *FAST, "--truth", TRUTH, rear[1], "--max-extra", "90%",
        "--json", str(tmp_path / "r.json"), "--output", str(tmp_path / "answers"),
    ])  # fmt: skip
    assert status == 1
    assert "max_extra of /rear/image_raw: " in capsys.readouterr().err
    report = json.loads((tmp_path / "r.json").read_text())
    assert {(check["topic"], check["name"]): check["passed"] for check in report["checks"]} == {
        (IMAGES, "answered"): True,
        (IMAGES, "max_extra"): True,
        (rear[0], "answered"): True,
        (rear[0], "max_extra"): False,
    }
    assert report["sent"] == 2 * FRAMES
    assert {topic: each["sent"] for topic, each in report["by_topic"].items()} == {
        IMAGES: FRAMES, rear[0]: FRAMES,
    }  # fmt: skip
    with BagReader(tmp_path / "answers") as answers:
        counts = {name: topic.count for name, topic in answers.topics.items()}
    assert counts == {ANSWERS: FRAMES, "/rear/detections": FRAMES}


def fails(capsys: Any, *arguments: object) -> str:
    try:
        status: Any = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    return capsys.readouterr().err


def test_what_makes_no_sense_is_refused_with_the_remedy(bag, golden, tmp_path, capsys):
    for arguments, expected in (
        ([*FAST, "--rate", 2], "not allowed with argument"),
        ([*FAST, "--clock"], "--clock makes no sense with --offline"),
        ([*FAST, "--remap", "/a:=/b"], "--remap makes no sense with --offline"),
        (["--model", "other"], "--model needs --offline"),
        ([*FAST, "--max-missed", 2], "--max-missed needs something to compare with"),
        ([*FAST, "--truth", TRUTH, "--max-score-drift", 1], "the truth has no scores"),
        ([*FAST, "--compare", golden, "--max-missed", "few"], "neither a number of objects"),
        ([*FAST, "--update-golden"], "--update-golden needs --compare"),
        ([*FAST, "--keep-all"], "--keep-all is about the bag of --output"),
        ([*FAST, "--force"], "--force is about the bag of --output"),
        ([*FAST, "--compare", golden, "--match-iou", 0], "an overlap (iou) of 0 is not above 0"),
        ([*FAST, "--compare", golden, "--sure-score", 2], "(sure_score) of 2 is not from 0 to 1"),
        ([*FAST, "--compare", tmp_path / "none"], "no such bag; --update-golden makes it"),
        ([*FAST, "--compare", bag], f"has no topic {ANSWERS}, where"),
        ([*FAST, "--truth", IMAGES], f"has sensor_msgs/msg/Image on {IMAGES}, where"),
        ([*FAST, "--truth", TRUTH, TRUTH], "--truth names 2 topics for 1 image topics"),
        ([*FAST, "--topics", TRUTH], "which holds no picture; choose topics"),
        ([*FAST, "--output", bag, "--force"], "is the bag that is played"),
        ([*FAST, "--model", "nothing"], "a model is a folder"),
        ([*FAST, "--junit", tmp_path / "no" / "r.xml"], "folder does not exist"),
        (["--offline", "--backends", "tf"], "backend 'tf' is not known"),
        (["--offline", "--backends", "tensorrt"], "runs on none of tensorrt"),
    ):
        assert expected in fails(capsys, bag, *arguments), arguments
    assert list(tmp_path.iterdir()) == []
