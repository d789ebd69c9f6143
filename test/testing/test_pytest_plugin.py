"""The fixture ``replay_bag``, as the tests of another package use it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jetson_detect.bags.demo_bag import DemoBagConfig, write_demo_bag
from jetson_detect.bags.offline_detector import OfflineDetector, OfflineOptions
from jetson_detect.testing.bag_run import run_bag

pytest_plugins = ["pytester"]

_TESTS = """
    import pytest

    @pytest.fixture(scope="module")
    def replayed(replay_bag):
        return replay_bag("bags/drive", model="demo", backends="tflite", threads=1)

    def test_nothing_has_changed(replayed):
        replayed.assert_matches("bags/golden", max_missed="1%")

    def test_the_objects_are_found(replayed):
        replayed.assert_finds("/camera/ground_truth", min_map50=0.5, max_latency_ms_p99=1e6)

    def test_what_a_frame_holds(replayed):
        assert [frame.number for frame in replayed.frames] == list(range(8))
        frame = replayed.frames[3]
        assert (frame.topic, frame.stamp_ns) == ("/camera/image_raw", 1_700_000_000_300_000_000)
        assert str(frame) == "frame 3 of /camera/image_raw, stamp 1700000000.300000000"
        assert replayed.labels[:3] == ["ball", "box", "cone"]
        assert sum(map(len, replayed.detections)) == replayed.report.detections
        assert replayed.environment["backend"] == "tflite"
"""


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "drive"
    write_demo_bag(path, DemoBagConfig(frames=8, fps=10.0, width=320, height=240))
    with OfflineDetector(OfflineOptions(backends=("tflite",))) as detector:
        replayed = run_bag(path, detector)
    # pytester forgets what a run of its own was the first to import: here it stays imported.
    replayed.compare_with_truth("/camera/ground_truth")
    return path


@pytest.fixture
def package(
    pytester: pytest.Pytester, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A package of somebody else, with a bag beside its tests."""
    # This plugin alone, whether it is installed or not.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    tests = pytester.mkdir("tests")
    (tests / "bags").mkdir()
    (tests / "bags" / "drive").symlink_to(drive)
    return pytester


def run(package: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """Run tests of the package, from its root."""
    made = package.makepyfile(source)
    place = package.path / "tests" / "test_drive.py"
    made.replace(place)
    package.makeconftest("")
    options = ("-p", "jetson_detect.pytest_plugin", "-p", "no:cacheprovider")
    return package.runpytest_inprocess(*options, *arguments)


def test_a_golden_bag_is_asked_for_made_and_then_matched(package):
    result = run(package, _TESTS)
    result.assert_outcomes(passed=2, failed=1)
    golden = package.path / "tests" / "bags" / "golden"
    result.stdout.fnmatch_lines([f"*{golden}: no such bag; pytest --update-golden-bags makes it"])
    run(package, _TESTS, "--update-golden-bags").assert_outcomes(passed=3)
    assert (golden / "metadata.yaml").is_file()
    run(package, _TESTS).assert_outcomes(passed=3)


def test_a_difference_names_limit_numbers_frame_and_remedy(package):
    run(package, _TESTS, "--update-golden-bags").assert_outcomes(passed=3)
    result = run(
        package,
        """
        def test_a_stricter_threshold_loses_objects(replay_bag):
            replayed = replay_bag("bags/drive", backends=["tflite"], score_threshold=0.99)
            replayed.assert_matches("bags/golden", max_extra=3)
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: max_missed of /camera/image_raw: * missed of * objects "
            "(required: at most 0)",
            "*frame * of /camera/image_raw, stamp 1700000000.*: missed *",
            "*golden bag: *bags/golden; if the new answers are right, "
            "run pytest --update-golden-bags",
        ]
    )
    # The failure points at the test's line, not into this package.
    result.stdout.no_fnmatch_line("*replayed_bag.py:*")


def test_a_limit_on_the_scores_of_the_truth_is_refused(drive):
    with OfflineDetector(OfflineOptions(backends=("tflite",))) as detector:
        replayed = run_bag(drive, detector, limit=2)
    with pytest.raises(TypeError, match="the truth has no scores"):
        replayed.assert_finds("/camera/ground_truth", max_score_drift=0.1)


def test_frames_that_the_golden_bag_does_not_have_fail(package):
    source = """
        def test_drive(replay_bag):
            replay_bag("bags/drive", backends="tflite", limit=%s).assert_matches("bags/golden")
        """
    run(package, source % 5, "--update-golden-bags").assert_outcomes(passed=1)
    run(package, source % 4).assert_outcomes(passed=1)
    result = run(package, source % 7)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*known_frames of /camera/image_raw: 2 of 7 frames are not in the reference *",
            "*frame 5 of /camera/image_raw, stamp *",
        ]
    )


def test_frames_of_the_golden_bag_that_the_bag_has_lost_fail(package):
    source = """
        from pathlib import Path
        from jetson_detect.bags.reader import BagReader
        from jetson_detect.bags.writer import BagWriter

        def test_drive(replay_bag):
            here = Path(__file__).parent / "bags"
            with BagReader(here / "drive") as bag, BagWriter(here / "short", overwrite=True) as cut:
                cut.add_topic("/camera/image_raw", "sensor_msgs/msg/Image")
                for one in list(bag.messages(["/camera/image_raw"]))[:%s]:
                    cut.write(one.topic, one.timestamp, one.data)
            replay_bag("bags/short", backends="tflite").assert_matches("bags/golden")
        """
    run(package, source % 8, "--update-golden-bags").assert_outcomes(passed=1)
    result = run(package, source % 5)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*played_frames of /camera/image_raw: 3 of 8 frames of the reference are not in the *",
            "*/camera/detections, stamp 1700000000.500000000",
        ]
    )


def test_a_lost_frame_fails_and_never_becomes_golden(package):
    result = run(
        package,
        """
        from pathlib import Path
        from jetson_detect.bags.reader import BagReader
        from jetson_detect.bags.writer import BagWriter

        def test_a_damaged_image(replay_bag):
            here = Path(__file__).parent / "bags"
            with BagReader(here / "drive") as bag, BagWriter(here / "damaged") as damaged:
                damaged.add_topic("/camera/image_raw", "sensor_msgs/msg/Image")
                for number, one in enumerate(bag.messages(["/camera/image_raw"])):
                    data = one.data[:500] if number == 2 else one.data
                    damaged.write(one.topic, one.timestamp, data)
            replayed = replay_bag("bags/damaged", backends="tflite")
            assert (len(replayed.frames), len(replayed.losses)) == (7, 1)
            replayed.assert_matches("bags/golden")
        """,
        "--update-golden-bags",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*1 of 8 frames were lost:", "*frame 2 of /camera/image_raw, stamp *: a serialised image*"]
    )
    assert not (package.path / "tests" / "bags" / "golden").exists()


def test_truth_and_limits_are_checked_and_wrong_words_refused(package):
    result = run(
        package,
        """
        import pytest
        from jetson_detect.bags.errors import BagError

        def test_everything(replay_bag):
            replayed = replay_bag("bags/drive", backends="tflite", limit=4)
            assert len(replayed.frames) == 4
            truth = "/camera/ground_truth"
            with pytest.raises(AssertionError, match="min_map50_95 of /camera/image_raw: 0"):
                replayed.assert_finds(truth, min_map50_95=1.0)
            with pytest.raises(AssertionError, match="max_latency_ms_p50 of .* at most 0 ms"):
                replayed.assert_finds(truth, max_latency_ms_p50=0)
            with pytest.raises(TypeError, match="limit 'max_lost' is not known"):
                replayed.assert_finds(truth, max_lost=1)
            with pytest.raises(TypeError, match="demands nothing"):
                replayed.assert_finds(truth)
            with pytest.raises(BagError, match="has no topic /truth"):
                replayed.assert_finds("/truth", min_map50=0.5)
            figures = replayed.compare_with_truth(truth)["/camera/image_raw"]
            assert len(figures.frames) == 4
            with pytest.raises(BagError, match="no such bag"):
                replay_bag("bags/nowhere", backends="tflite")
            with pytest.raises(ValueError, match="backend 'gpu' is not known"):
                replay_bag("bags/drive", backends="gpu")
        """,
    )
    result.assert_outcomes(passed=1)


def test_a_model_is_loaded_once_and_the_plugin_itself_loads_nothing(package):
    result = run(
        package,
        """
        import sys

        def test_not_loaded(request):
            assert request.config.getoption("--update-golden-bags") is False

        def test_loaded_once(replay_bag, loaded_detectors):
            from jetson_detect.bags.offline_detector import OfflineOptions
            options = OfflineOptions(backends=("tflite",))
            first = replay_bag("bags/drive", backends="tflite", limit=1)
            detector = loaded_detectors.get(options)
            replay_bag("bags/drive", backends="tflite", limit=1)
            assert loaded_detectors.get(options) is detector
        """,
    )
    result.assert_outcomes(passed=2)


def test_the_plugin_imports_neither_ros_nor_a_backend(pytester):
    check = (
        "import sys, jetson_detect.pytest_plugin; "
        "heavy = {'rclpy', 'cv2', 'numpy', 'rosbags', 'ai_edge_litert'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    assert pytester.run(sys.executable, "-c", check).ret == 0
