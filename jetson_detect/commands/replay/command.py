"""Run a bag's images through a detector, report what it answers, and judge it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.commands.replay.arguments import parse_arguments
from jetson_detect.commands.stop_signals import StopSignals

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from jetson_detect.bags.offline_detector import OfflineDetector
    from jetson_detect.bags.reader import BagReader
    from jetson_detect.bags.replay_plan import ReplayPlan
    from jetson_detect.commands.replay.records import ReplayRecords

_EXIT_ERROR = 2


class _NotUpdatedError(Exception):
    """Leaves the block that would write the golden bag."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    with StopSignals() as stop:
        try:
            own, ros = _split_ros_arguments(sys.argv[1:] if arguments is None else arguments)
            return _run(parse_arguments(own), ros, stop)
        except KeyboardInterrupt:
            return stop.exit_status


def _split_ros_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split our arguments from ``--ros-args … [--]``, which launch files and people add."""
    own: list[str] = []
    ros: list[str] = []
    target: list[str] | None = None
    for argument in arguments:
        if argument == "--ros-args":
            target = ros
        (own if target is None else target).append(argument)
        if argument == "--" and target is not None:
            target = None
    return own, ros


def _run(options: argparse.Namespace, ros_arguments: list[str], stop: StopSignals) -> int:
    from jetson_detect.bags.errors import BagError, BagExistsError
    from jetson_detect.bags.reader import BagReader
    from jetson_detect.commands.result_files import ResultFileError, check_writable
    from jetson_detect.core.backends import BackendError
    from jetson_detect.core.model import ModelError
    from jetson_detect.report.errors import ReportError

    try:
        for file in (options.report, options.junit, options.html):
            if file is not None:
                check_writable(file)
        with BagReader(options.bag) as bag:
            return _replay(options, ros_arguments, bag, stop)
    except BagExistsError as error:
        print(f"replay: {error}; --force replaces it", file=sys.stderr)
        return _EXIT_ERROR
    except (BagError, ResultFileError, ReportError, ModelError, BackendError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return stop.exit_status or _EXIT_ERROR


def _replay(
    options: argparse.Namespace, ros_arguments: list[str], bag: BagReader, stop: StopSignals
) -> int:
    """Replay an open bag and tell what came of it; returns the exit status."""
    from jetson_detect.bags.errors import BagError
    from jetson_detect.bags.replay_plan import WantedTopics, make_plan
    from jetson_detect.commands.replay.conclusion import ReplayConclusion
    from jetson_detect.commands.replay.players import replay_offline, replay_through_nodes
    from jetson_detect.commands.replay.records import ReplayRecords
    from jetson_detect.core.class_names import ClassNames
    from jetson_detect.core.golden_comparison import MatchRule

    wanted = WantedTopics(
        images=tuple(options.topics or ()),
        also=tuple(options.also),
        truth=tuple(options.truth or ()),
        detections=tuple(options.detections or ()),
        remap=dict(options.remap),
    )
    plan = make_plan(bag, wanted)
    golden = options.compare
    if golden is not None and not golden.exists():
        if not options.update_golden:
            raise BagError(f"{golden}: no such bag; --update-golden makes it of this run")
        golden = None
    with contextlib.ExitStack() as stack:
        names = ClassNames()
        detector = stack.enter_context(_open_detector(options)) if options.offline else None
        if detector is not None:
            # Before any other name: then the answers' classes need not be renamed.
            names.learn_labels(dict(enumerate(detector.detector.model.labels)))
        rule = MatchRule(options.match_iou, options.sure_score)
        try:
            records = ReplayRecords(bag, plan, names, rule, golden)
        except BagError as error:
            if not options.update_golden:
                raise
            print(f"replay: {error}\nIt is replaced, and not compared with.", file=sys.stderr)
            records = ReplayRecords(bag, plan, names, rule, golden=None)
        environment = _environment(bag, detector)
        conclusion = ReplayConclusion(options, plan, records, environment, stop)
        try:
            with _output(options, bag, records, environment):
                if not options.quiet:
                    _announce(bag, plan)
                if detector is not None:
                    replay_offline(options, plan, records, conclusion, detector, stop)
                else:
                    replay_through_nodes(options, ros_arguments, plan, records, conclusion, stop)
                if options.update_golden and not conclusion.passed:
                    raise _NotUpdatedError
        except _NotUpdatedError:
            print(f"replay: {options.compare} is left as it was", file=sys.stderr)
        else:
            if options.update_golden and not options.quiet:
                print(f"golden bag written: {options.compare}")
        return conclusion.status


def _open_detector(options: argparse.Namespace) -> OfflineDetector:
    from jetson_detect.bags.errors import BagError
    from jetson_detect.bags.offline_detector import OfflineDetector, OfflineOptions
    from jetson_detect.core.model import Precision

    try:
        wanted = OfflineOptions(
            model=options.model,
            backends=tuple(options.backends),
            precision=None if options.precision is None else Precision(options.precision),
            threads=OfflineOptions.threads if options.threads is None else options.threads,
            score_threshold=options.score_threshold,
            iou_threshold=options.iou_threshold,
            max_detections=options.max_detections,
        )
    except ValueError as error:
        raise BagError(str(error)) from error
    detector = OfflineDetector(wanted)
    if not options.quiet:
        for refusal in detector.refusals:
            print(f"replay: not on {refusal}", file=sys.stderr)
    return detector


def _environment(bag: BagReader, detector: OfflineDetector | None) -> dict[str, str]:
    """Tell what ran, for reports."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("jetson_detect")
    except PackageNotFoundError:  # run from a checkout
        ours = "not installed"
    return {
        "bag": str(bag.path.absolute()),
        **(detector.environment if detector is not None else {}),
        "jetson_detect": ours,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


@contextlib.contextmanager
def _output(
    options: argparse.Namespace,
    bag: BagReader,
    records: ReplayRecords,
    environment: Mapping[str, str],
) -> Iterator[None]:
    """Keep the bag open that the answers are written to, if there is one."""
    from jetson_detect.bags.errors import BagError
    from jetson_detect.bags.writer import BagWriter

    path = options.compare if options.update_golden else options.output
    if path is None:
        yield
        return
    place = Path(path).expanduser()
    if place.exists() and place.samefile(bag.path) and (options.force or options.update_golden):
        raise BagError(f"{path}: is the bag that is played; choose another name")
    with BagWriter(path, options.storage, options.force or options.update_golden) as writer:
        for key, value in environment.items():
            writer.note(f"replay {key}", value)
        records.write_to(writer, options.keep_all)
        yield


def _announce(bag: BagReader, plan: ReplayPlan) -> None:
    for camera in plan.cameras:
        name = camera.recorded
        if camera.published != camera.recorded:
            name += f" as {camera.published}"
        print(
            f"{bag.path}: {bag.topics[camera.recorded].count} images of {name}, "
            f"answers on {camera.detections}",
            flush=True,
        )
