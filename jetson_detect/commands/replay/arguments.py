"""The command line of ``replay``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jetson_detect.commands.numbers import at_least, positive
from jetson_detect.commands.replay.limit_arguments import (
    add_comparison_arguments,
    check_comparison,
)

_DESCRIPTION = """\
Run the images of a bag through a detector, report what it answers, and compare that with an
earlier run or with the truth.

Three ways: --offline, in this process and without ROS's network, as fast as it goes; --lock-step,
through a detector node, where the next frame goes out when the answer to the last one has come, so
that every frame is detected; or through a node by the clock, with the recorded timing times --rate,
where a detector that is too slow passes frames over, as with a camera.
"""

_EPILOG = """\
exit status:
  0    done; every frame was answered (but by the clock) and every limit is kept
  1    frames were lost, a limit is not kept, nobody subscribed, or no backend ran to the end
  2    an argument is wrong, or a bag, a model or a file
  130  stopped by Ctrl-C (143 by SIGTERM); report and output bag hold what came until then

examples:
  replay drive_bag --offline --compare drive_golden --update-golden
  replay drive_bag --offline --compare drive_golden --max-missed 1% --junit replay.xml
  replay demo_bag --offline --truth /camera/ground_truth --min-map50 0.9 --html replay.html
  replay drive_bag --lock-step --output answers --report report.json
  replay drive_bag --rate 4 --topics /front/image_raw --remap /front/image_raw:=/camera/image_raw
  replay demo_bag --loop 0 --stamp shifted --clock
"""

_CLOCK_HZ = 40.0
"""As ``ros2 bag play --clock``."""

_ONLY_OFFLINE: tuple[str, ...] = (
    "model", "backends", "precision", "threads", "score_threshold", "iou_threshold",
    "max_detections",
)  # fmt: skip
_ONLY_WITH_NODES: tuple[str, ...] = (
    "also", "remap", "stamp", "loop", "clock", "timeout", "startup_timeout", "linger",
)  # fmt: skip


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse our arguments, ROS's taken out; leaves the process if they make no sense."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.offline:
        unfit, mode = _ONLY_WITH_NODES, "makes no sense with --offline"
    else:
        unfit, mode = _ONLY_OFFLINE, "needs --offline: the detector node has its own parameters"
    for name in unfit:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} {mode}")
    check_comparison(parser, options)
    for name in ("keep_all", "force", "storage"):
        is_given = getattr(options, name) != parser.get_default(name)
        if is_given and not (options.output or options.update_golden):
            parser.error(f"--{name.replace('_', '-')} is about the bag of --output: name one")
    if options.keep_all and (options.loop != 1 or options.stamp == "now"):
        parser.error("--keep-all makes no sense with --loop or --stamp now: nothing would match")
    if options.clock is not None and options.stamp == "now":
        parser.error("--clock tells the time of the recording: not with --stamp now")
    return options


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
    _add_what(parser.add_argument_group("what is played"))
    _add_how(parser.add_argument_group("how"))
    _add_detector(parser.add_argument_group("the detector of --offline"))
    add_comparison_arguments(parser)
    _add_results(parser.add_argument_group("what becomes of the answers"))
    return parser


def _add_what(group: Any) -> None:
    group.add_argument(
        "--topics",
        nargs="+",
        metavar="TOPIC",
        help="image topics; default: all of sensor_msgs/Image, or of CompressedImage in a bag "
        "without these",
    )
    group.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="publish other topics too, ground truth for one; each message goes out just before "
        "the image of the same stamp",
    )
    group.add_argument(
        "--remap",
        nargs="+",
        default=[],
        type=_remapping,
        metavar="FROM:=TO",
        help="publish a topic of the bag by another name",
    )
    group.add_argument(
        "--limit", type=positive(int), metavar="N", help="stop after N images, of all topics"
    )
    group.add_argument(
        "--stamp",
        choices=("original", "shifted", "now"),
        default="original",
        help="header stamps: as recorded, so that they go back at each --loop; shifted, so that "
        "each pass follows the last; or now, the moment of publishing (default: original)",
    )
    group.add_argument(
        "--loop",
        type=at_least(int, 0),
        default=1,
        metavar="N",
        help="play the bag N times; 0 until Ctrl-C (default: 1)",
    )
    group.add_argument(
        "--clock",
        nargs="?",
        type=positive(float),
        const=_CLOCK_HZ,
        metavar="HZ",
        help="publish the time of the recording on /clock, for nodes with use_sim_time; in "
        f"lock-step it stands still between frames (default: {_CLOCK_HZ:g} Hz)",
    )


def _add_how(group: Any) -> None:
    pace = group.add_mutually_exclusive_group()
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
    pace.add_argument(
        "--offline",
        action="store_true",
        help="detect in this process, without a node; images are read and answers written as the "
        "node does it",
    )
    group.add_argument(
        "--timeout",
        type=positive(float),
        default=5.0,
        metavar="S",
        help="longest wait for the answer to a frame, or to the last ones; 3 frames in a row not "
        "answered end a lock-step (default: 5)",
    )
    group.add_argument(
        "--startup-timeout",
        type=positive(float),
        default=30.0,
        metavar="S",
        help="longest wait for subscribers, and again for the answer to the first frame, which "
        "alone is sent until it is answered (default: 30)",
    )
    group.add_argument(
        "--linger",
        type=at_least(float, 0.0),
        default=0.0,
        metavar="S",
        help="stay so long after the report, or until Ctrl-C, for subscribers that are slow to "
        "read (default: 0)",
    )


def _add_detector(group: Any) -> None:
    group.add_argument(
        "--model",
        default="demo",
        metavar="M",
        help="folder with a model.yaml, or a model's name (default: demo)",
    )
    group.add_argument(
        "--backends",
        nargs="+",
        default=["auto"],
        metavar="B",
        help="what may run it, best first: the first that loads does, to the end (default: auto)",
    )
    group.add_argument(
        "--precision",
        choices=_precisions(),
        metavar="P",
        help=f"run only a file of this precision: {', '.join(_precisions())}",
    )
    group.add_argument(
        "--threads",
        type=at_least(int, 0),
        metavar="N",
        help="CPU threads of an inference; 0 leaves it to the backend",
    )
    for name, kind, text in (
        ("score-threshold", float, "leave out what has a lower score"),
        ("iou-threshold", float, "of boxes that overlap more, the best stays"),
        ("max-detections", int, "the most objects of an image"),
    ):
        group.add_argument(
            f"--{name}",
            type=at_least(kind, 0),
            metavar="X",
            help=f"{text} (default: the model's own)",
        )


def _add_results(group: Any) -> None:
    group.add_argument(
        "--detections",
        nargs="+",
        metavar="TOPIC",
        help="where answers are, one topic for each image topic; default: 'detections' beside it, "
        "/camera/detections for /camera/image_raw and /camera/image_raw/compressed",
    )
    group.add_argument(
        "--output", metavar="BAG", help="write the answers to a bag, at the images' log times"
    )
    group.add_argument(
        "--keep-all",
        action="store_true",
        help="write all other topics of BAG to it too, as they are; answers recorded on the same "
        "topics make way for the new ones",
    )
    group.add_argument(
        "--storage", choices=("mcap", "sqlite3"), default="mcap", help="of that bag (default: mcap)"
    )
    group.add_argument("--force", action="store_true", help="replace that bag if it exists")
    for names, text in (
        (("--report", "--json"), "write the report as JSON"),
        (("--junit",), "write it as JUnit XML, a test case for each limit and topic"),
        (("--html",), "write it as a page with pictures"),
    ):
        group.add_argument(*names, metavar="FILE", type=Path, help=text)
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _precisions() -> list[str]:
    from jetson_detect.core.model import Precision

    return [precision.value for precision in Precision]


def _remapping(text: str) -> tuple[str, str]:
    source, separator, target = text.partition(":=")
    if not separator or not source.startswith("/") or not target.startswith("/"):
        raise argparse.ArgumentTypeError(f"'{text}' is not like /from:=/to")
    return source, target
