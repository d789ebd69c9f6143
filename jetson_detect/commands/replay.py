"""Publish a bag's images, as they were or a frame at a time, and report what a detector answers."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.commands.numbers import at_least, positive
from jetson_detect.commands.stop_signals import StopSignals

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from jetson_detect.bags.ledger import ReplayReport
    from jetson_detect.bags.reader import BagReader
    from jetson_detect.bags.writer import BagWriter
    from jetson_detect.nodes.bag_player import Ending, PlayerConfig

_IMAGE = "sensor_msgs/msg/Image"
_DETECTIONS = "vision_msgs/msg/Detection2DArray"

_EXIT_FINE, _EXIT_LOST, _EXIT_ERROR = 0, 1, 2

_DESCRIPTION = """\
Publish the images of a bag and report what a detector answers.

Two ways to play: by the clock, with the recorded timing times --rate, where a detector that is
too slow passes frames over, as with a camera; or in --lock-step, where the next frame goes out
when the answer to the last one has come, so that every frame is detected, as fast as it goes.
"""

_EPILOG = """\
exit status:
  0    done; in lock-step, every frame was answered
  1    frames were lost (lock-step), or nobody subscribed, or the first frame was never answered
  2    the bag or an argument is wrong
  130  stopped by Ctrl-C (143 by SIGTERM); report and output bag hold what came until then

examples:
  replay drive_bag --lock-step --output answers --report report.json
  replay drive_bag --rate 4 --topics /front/image_raw --remap /front/image_raw:=/camera/image_raw
  replay demo_bag --lock-step --also /camera/ground_truth --stamp now
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    with StopSignals() as stop:
        try:
            own, ros = _split_ros_arguments(sys.argv[1:] if arguments is None else arguments)
            options = _parser().parse_args(own)
            return _run(options, ros, stop)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="replay",
        usage="replay BAG [options]",  # the bag first: options that take several values follow
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bag", metavar="BAG", help="folder of a bag, or one .mcap or .db3 file of it"
    )
    what = parser.add_argument_group("what is published")
    what.add_argument(
        "--topics", nargs="+", metavar="TOPIC", help=f"image topics; default: all of type {_IMAGE}"
    )
    what.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="other topics, ground truth for one; each message goes out just before the image of "
        "the same stamp",
    )
    what.add_argument(
        "--remap",
        nargs="+",
        default=[],
        type=_remapping,
        metavar="FROM:=TO",
        help="publish a topic of the bag by another name",
    )
    what.add_argument(
        "--limit", type=positive(int), metavar="N", help="stop after N images, of all topics"
    )
    what.add_argument(
        "--stamp",
        choices=("original", "now"),
        default="original",
        help="now: replace header stamps by the moment of publishing (default: original)",
    )
    how = parser.add_argument_group("how")
    pace = how.add_mutually_exclusive_group()
    pace.add_argument(
        "--rate",
        type=positive(float),
        default=1.0,
        metavar="R",
        help="times as fast as recorded (default: 1)",
    )
    pace.add_argument(
        "--lock-step", action="store_true", help="send a frame when the last one is answered"
    )
    how.add_argument(
        "--timeout",
        type=positive(float),
        default=5.0,
        metavar="S",
        help="longest wait for the answer to a frame, or to the last ones; 3 frames in a row not "
        "answered end a lock-step (default: 5)",
    )
    how.add_argument(
        "--startup-timeout",
        type=positive(float),
        default=30.0,
        metavar="S",
        help="longest wait for subscribers, and again for the answer to the first frame, which "
        "alone is sent until it is answered (default: 30)",
    )
    how.add_argument(
        "--linger",
        type=at_least(float, 0.0),
        default=0.0,
        metavar="S",
        help="stay so long after the report, or until Ctrl-C, for subscribers that are slow to "
        "read (default: 0)",
    )
    answers = parser.add_argument_group("what becomes of the answers")
    answers.add_argument(
        "--detections",
        nargs="+",
        metavar="TOPIC",
        help="where answers come from, one for each image topic; default: 'detections' beside it, "
        "/camera/detections for /camera/image_raw",
    )
    answers.add_argument("--output", metavar="BAG", help="write the answers to a bag")
    answers.add_argument(
        "--storage", choices=("mcap", "sqlite3"), default="mcap", help="of that bag (default: mcap)"
    )
    answers.add_argument("--force", action="store_true", help="replace that bag if it exists")
    answers.add_argument("--report", metavar="FILE", type=Path, help="write the report as JSON")
    answers.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _run(options: argparse.Namespace, ros_arguments: list[str], stop: StopSignals) -> int:
    from jetson_detect.bags.errors import BagError, BagExistsError
    from jetson_detect.bags.reader import BagReader
    from jetson_detect.bags.writer import BagWriter

    try:
        if options.report is not None:
            _check_writable(options.report)
        with contextlib.ExitStack() as stack:
            bag = stack.enter_context(BagReader(options.bag))
            config = _configure(options, bag)
            output = None
            if options.output is not None:
                writer = BagWriter(options.output, options.storage, overwrite=options.force)
                output = stack.enter_context(writer)
            return _play(options, ros_arguments, bag, config, output, stop)
    except BagExistsError as error:
        print(f"replay: {error}; --force replaces it", file=sys.stderr)
        return _EXIT_ERROR
    except BagError as error:
        print(f"replay: {error}", file=sys.stderr)
        return stop.exit_status or _EXIT_ERROR


def _configure(options: argparse.Namespace, bag: BagReader) -> PlayerConfig:
    """Fit arguments and bag together.

    Raises
    ------
    BagError
        If a topic is not in the bag, or topics get in each other's way.

    """
    from jetson_detect.bags.errors import BagError
    from jetson_detect.nodes.bag_player import PlayedCamera, PlayedTopic, PlayerConfig

    images = list(dict.fromkeys(options.topics or bag.topics_of_type(_IMAGE)))
    if not images:
        raise BagError(
            f"{bag.path}: has no topic of type {_IMAGE}; it has\n{bag.describe_topics()}\n"
            "Choose with --topics what to publish."
        )
    also = list(dict.fromkeys(options.also))
    remap = dict(options.remap)
    for flag, names in (("--topics", images), ("--also", also), ("--remap", list(remap))):
        if missing := [name for name in names if name not in bag.topics]:
            raise BagError(
                f"{bag.path}: has no topic {', '.join(missing)} ({flag}); "
                f"it has\n{bag.describe_topics()}"
            )
    if both := [name for name in also if name in images]:
        raise BagError(f"{', '.join(both)}: is an image topic already; take it out of --also")
    if unused := [name for name in remap if name not in (*images, *also)]:
        raise BagError(f"--remap {unused[0]}:=…: is not published; add it to --topics or --also")
    empty = [name for name in images if bag.topics[name].count == 0]
    if len(empty) == len(images):
        raise BagError(f"{bag.path}: holds no message of {', '.join(images)}")

    def published(name: str) -> str:
        return str(remap.get(name, name))

    detections = options.detections
    if detections is None:
        detections = [published(name).rpartition("/")[0] + "/detections" for name in images]
    if len(detections) != len(images):
        raise BagError(
            f"--detections names {len(detections)} topics for {len(images)} image topics, "
            f"{', '.join(images)}; name one for each"
        )
    outward = [*map(published, (*images, *also)), *detections]
    if twice := sorted({name for name in outward if outward.count(name) > 1}):
        raise BagError(
            f"{', '.join(twice)} would be used for more than one thing; "
            "keep topics apart with --remap and --detections"
        )
    return PlayerConfig(
        cameras=tuple(
            PlayedCamera(name, published(name), bag.topics[name].type_name, answers)
            for name, answers in zip(images, detections)
            if name not in empty
        ),
        companions=tuple(
            PlayedTopic(name, published(name), bag.topics[name].type_name) for name in also
        ),
        rate=None if options.lock_step else options.rate,
        timeout_s=options.timeout,
        startup_timeout_s=options.startup_timeout,
        restamp=options.stamp == "now",
    )


def _play(
    options: argparse.Namespace,
    ros_arguments: list[str],
    bag: BagReader,
    config: PlayerConfig,
    output: BagWriter | None,
    stop: StopSignals,
) -> int:
    """Play the bag and tell what came back; returns the exit status."""
    from jetson_detect.bags.frames import frames
    from jetson_detect.bags.ledger import FrameLedger, SentFrame
    from jetson_detect.nodes.bag_player import BagPlayer, Ending
    from jetson_detect.nodes.entry import ros_executor

    ledger = FrameLedger()

    def write_answer(topic: str, frame: SentFrame, data: bytes) -> None:
        if output is not None:
            output.write(topic, frame.recorded_at, data)

    def tell_lost(frame: SentFrame) -> None:
        print(f"replay: no answer to {frame}", file=sys.stderr)

    if output is not None:
        for camera in config.cameras:
            output.add_topic(camera.detections, _DETECTIONS)
    with ros_executor(ros_arguments) as executor:
        player = BagPlayer(
            config,
            ledger,
            on_answer=write_answer,
            on_lost=tell_lost,
            should_stop=lambda: stop.requested,
            context=executor.context,
            start_parameter_services=False,
        )
        executor.add_node(player)
        try:
            if not options.quiet:
                _announce(bag, config)
            recorded = [topic.recorded for topic in (*config.cameras, *config.companions)]
            images = [camera.recorded for camera in config.cameras]
            sequence = frames(bag.messages(recorded), images, player.stamped_companions)
            ending = player.play(islice(sequence, options.limit))
            report = ledger.report(player.labels)
            status = _conclude(options, config, ending, player.problem, report, stop)
            if ending is Ending.FINISHED:
                player.linger(options.linger)
            return status
        finally:
            player.destroy_node()


def _conclude(
    options: argparse.Namespace,
    config: PlayerConfig,
    ending: Ending,
    problem: str,
    report: ReplayReport,
    stop: StopSignals,
) -> int:
    """Tell what came back, on screen and in the report file; returns the exit status."""
    from jetson_detect.nodes.bag_player import Ending

    if ending is Ending.STOPPED:
        status = stop.exit_status
    elif ending is not Ending.FINISHED or (report.lost and config.rate is None):
        status = _EXIT_LOST
    else:
        status = _EXIT_FINE
    if options.report is not None:
        content = {
            "bag": str(Path(options.bag).expanduser().absolute()),
            "topics": {camera.published: camera.detections for camera in config.cameras},
            "mode": "lock-step" if config.rate is None else "timed",
            "rate": config.rate,
            "ending": ending.value,
            "problem": problem,
            "exit_status": status,
            **report.to_json(),
        }
        _write_atomically(options.report, json.dumps(content, indent=2) + "\n")
    if not options.quiet:
        _show(report)
    if problem:
        print(f"replay: {problem}", file=sys.stderr)
    return status


def _announce(bag: BagReader, config: PlayerConfig) -> None:
    for camera in config.cameras:
        name = camera.recorded
        if camera.published != camera.recorded:
            name += f" as {camera.published}"
        print(
            f"{bag.path}: {bag.topics[camera.recorded].count} images of {name}, "
            f"answers on {camera.detections}",
            flush=True,
        )


def _show(report: ReplayReport) -> None:
    rows = list(_rows(report))
    if not sys.stdout.isatty():
        for name, value in rows:
            print(f"{name}: {value}")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _rows(report: ReplayReport) -> Iterator[tuple[str, str]]:
    """What people want to know, always the same rows first; oddities only where there are some."""
    from jetson_detect.bags.stamps import format_stamp

    yield "frames sent", str(report.sent)
    yield "answered", str(report.answered)
    yield "lost", str(len(report.lost))
    for name, count in (
        ("sent again", report.resent),
        ("late answers", report.late),
        ("duplicate answers", report.duplicates),
        ("answers out of order", report.out_of_order),
        ("answers of unknown stamp", report.unknown),
    ):
        if count:
            yield name, str(count)
    yield "empty answers", str(report.empty)
    classes = ", ".join(f"{name} {count}" for name, count in report.detections_by_class.items())
    yield "detections", f"{report.detections} ({classes})" if classes else str(report.detections)
    yield "duration", _with_unit(report.duration_s, "s", 2)
    yield "rate", _with_unit(report.fps, "frames/s", 1)
    latencies = (report.latency_p50_ms, report.latency_p99_ms, report.latency_max_ms)
    yield "latency p50, p99, max", ", ".join(_with_unit(one, "ms", 1) for one in latencies)
    shown = 10
    for frame in report.lost[:shown]:
        yield "lost frame", f"{frame.number} of {frame.topic}, stamp {format_stamp(frame.stamp)}"
    if len(report.lost) > shown:
        yield "", f"… and {len(report.lost) - shown} more; --report lists them all"


def _with_unit(value: float | None, unit: str, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f} {unit}"


def _check_writable(file: Path) -> None:
    """Find out before the replay, not after it."""
    from jetson_detect.bags.errors import BagError

    if not file.absolute().parent.is_dir():
        raise BagError(f"{file}: its folder does not exist; make it first")
    if file.is_dir():
        raise BagError(f"{file}: is a folder; name a file for the report")


def _write_atomically(file: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", dir=file.absolute().parent, prefix=f".{file.name}.", delete=False, encoding="utf-8"
    ) as temporary:
        temporary.write(text)
    Path(temporary.name).chmod(0o644)
    Path(temporary.name).replace(file)


def _remapping(text: str) -> tuple[str, str]:
    source, separator, target = text.partition(":=")
    if not separator or not source.startswith("/") or not target.startswith("/"):
        raise argparse.ArgumentTypeError(f"'{text}' is not like /from:=/to")
    return source, target


if __name__ == "__main__":
    sys.exit(main())
