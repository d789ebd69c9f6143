"""Watch what a detector says: a live table, accuracy, annotated frames, a bag, a report."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from jetson_detect.commands.numbers import at_least
from jetson_detect.commands.stop_signals import StopSignals
from jetson_detect.commands.watch_display import Display, progress_line, summary_table

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from rich.console import RenderableType

    from jetson_detect.core.watch_log import WatchSummary

_EXIT_FINE, _EXIT_FAILED, _EXIT_ERROR = 0, 1, 2

_SPIN_S = 0.05
_GRACE_S = 1.0
"""How long the ground truth of the last frames is waited for."""
_SILENCE_S = 5.0
"""After so long without a first answer the watch says what may be wrong."""

_DESCRIPTION = """\
Watch a topic of vision_msgs/Detection2DArray: count, time and compare with ground truth what comes.
On a terminal a table is kept up to date; otherwise a line is printed now and then.
"""

_EPILOG = """\
exit status:
  0    done; Ctrl-C and SIGTERM are ordinary ways to end
  1    nothing came, or mAP50 is below --min-map50
  2    an argument is wrong, a file cannot be written or a library is missing

examples:
  watch_detections --detections /camera/detections
  watch_detections --ground-truth /camera/ground_truth --frames 200 --min-map50 0.9
  watch_detections --image /camera/image_raw --save-frames frames --save-every 30
"""


@dataclass(frozen=True)
class WatchOptions:
    """What to watch, how long, and what to keep."""

    detections: str = "/camera/detections"
    image: str | None = None
    ground_truth: str | None = None
    best_effort: bool = False
    frames: int = 0
    """End after so many answers; 0 is never."""
    idle_timeout_s: float = 0.0
    """End after so long without an answer; 0 is never."""
    save_frames: Path | None = None
    save_every: int = 10
    output: Path | None = None
    storage: str = "mcap"
    force: bool = False
    min_map50: float | None = None
    report: Path | None = None
    quiet: bool = False

    @property
    def label_info(self) -> str:
        """Where a detector tells its labels: beside the detections."""
        namespace, _, _ = self.detections.rpartition("/")
        return f"{namespace}/label_info" if namespace else "label_info"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    with StopSignals() as stop:
        try:
            given = sys.argv[1:] if arguments is None else list(arguments)
            return _run(given, stop)
        except KeyboardInterrupt:
            return stop.exit_status


def _run(arguments: list[str], stop: StopSignals) -> int:
    parser = _parser()
    if "-h" in arguments or "--help" in arguments:
        parser.parse_args(["--help"])
    from rclpy.utilities import remove_ros_args

    from jetson_detect.bags.errors import BagError
    from jetson_detect.core.evaluation import EvaluationError

    options = _options(parser, remove_ros_args(["watch_detections", *arguments])[1:])
    try:
        with Watch(options, arguments) as watch:
            while not stop.requested and not watch.finished:
                watch.spin_once()
        return watch.conclude()
    except (BagError, EvaluationError, OSError) as error:
        print(f"watch_detections: {error}", file=sys.stderr)
        return _EXIT_ERROR


class Watch:
    """A watch under way; a context manager, which ends by showing the final table."""

    def __init__(self, options: WatchOptions, ros_arguments: Sequence[str] = ()) -> None:
        """Prepare; nothing is subscribed to before the ``with`` block.

        Args:
            options: what to watch.
            ros_arguments: the command line, for its ``--ros-args``.
        """
        from rich.console import Console

        self.options = options
        self.console = Console(quiet=options.quiet, highlight=False)
        self._ros_arguments = list(ros_arguments)
        self._stack = contextlib.ExitStack()
        self._enough_since: float | None = None
        """When as many answers were there as were asked for."""
        self._why_nothing = ""

    def __enter__(self) -> Watch:
        from jetson_detect.bags.writer import BagWriter
        from jetson_detect.conversion.images import pixels_from_image
        from jetson_detect.core.frame_saving import FrameSaver
        from jetson_detect.core.watch_log import WatchLog
        from jetson_detect.nodes.detection_watcher import DetectionWatcher, WatchTopics
        from jetson_detect.nodes.entry import ros_executor

        options = self.options
        self.log = WatchLog(
            with_truth=options.ground_truth is not None,
            with_images=options.save_frames is not None,
        )
        with self._stack:
            self.saver: FrameSaver | None = None
            bag: BagWriter | None = None
            if options.output is not None:
                bag = self._stack.enter_context(
                    BagWriter(options.output, options.storage, overwrite=options.force)
                )
            if options.save_frames is not None:
                self.saver = FrameSaver(options.save_frames, pixels_from_image, options.save_every)
                self._stack.callback(self.saver.close)
            executor = self._stack.enter_context(ros_executor(self._ros_arguments))
            self.node = DetectionWatcher(
                WatchTopics(
                    detections=options.detections,
                    label_info=options.label_info,
                    ground_truth=options.ground_truth,
                    image=options.image if options.save_frames is not None else None,
                    best_effort=options.best_effort,
                ),
                self.log,
                self.saver,
                bag,
                context=executor.context,
            )
            self._stack.callback(self.node.destroy_node)
            executor.add_node(self.node)
            self._executor = executor
            self._display = self._stack.enter_context(Display(self.console, self._render))
            self._started = time.monotonic()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.node.save_remaining()
        if not self.log.frames:
            self._why_nothing = self.node.why_nothing_came()
        self._stack.__exit__(kind, error, trace)

    def spin_once(self) -> None:
        """Take what has come, or wait for it for a moment."""
        self._executor.spin_once(timeout_sec=_SPIN_S)
        if not self.log.frames and time.monotonic() - self._started > _SILENCE_S:
            self._why_nothing = self.node.why_nothing_came()

    @property
    def idle_s(self) -> float:
        """Seconds since the last answer, or since the start."""
        return time.monotonic() - (self.node.last_arrival or self._started)

    @property
    def finished(self) -> bool:
        """Whether as many answers came as were asked for, or none for too long."""
        options = self.options
        if 0 < options.idle_timeout_s < self.idle_s:
            return True
        if not 0 < options.frames <= self.log.frames:
            return False
        now = time.monotonic()
        if self._enough_since is None:
            self._enough_since = now
        # Not since the last answer: others go on coming, and the truth of the first may never.
        return self.log.uncompared == 0 or now - self._enough_since > _GRACE_S

    def conclude(self) -> int:
        """Show the final table, write the report and tell what failed; returns the exit status.

        To be called after the ``with`` block.
        """
        summary = self.log.summary(final=True)
        self.console.print(summary_table(summary, self.options.detections))
        problems = self.problems(summary)
        if self.saver is not None:
            self.console.print(
                f"{len(self.saver.paths)} annotated frames in {self.options.save_frames}"
            )
            for text in self.saver.errors[:3]:
                print(f"watch_detections: {text}", file=sys.stderr)
        if self.options.output is not None:
            self.console.print(f"detections in {self.options.output}")
        if self.options.report is not None:
            content = {**summary.to_json(), "problems": problems}
            self.options.report.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for problem in problems:
            print(f"watch_detections: {problem}", file=sys.stderr)
        return _EXIT_FAILED if problems else _EXIT_FINE

    def problems(self, summary: WatchSummary) -> list[str]:
        """Say what is not as it should be."""
        options = self.options
        if summary.frames == 0:
            return [self._why_nothing]
        if options.min_map50 is None:
            return []
        if summary.accuracy is None:
            return [
                f"accuracy is unknown: none of {summary.frames} answers has the stamp of a message "
                f"on {options.ground_truth}"
            ]
        if not summary.accuracy.map50 >= options.min_map50:  # not a number fails as well
            return [
                f"mAP50 is {summary.accuracy.map50:.3f}, at least {options.min_map50:g} is required"
            ]
        return []

    def _render(self, live: bool) -> RenderableType:
        summary = self.log.summary(time.monotonic())
        if not live:
            if not summary.frames:
                return self._why_nothing or "waiting for detections"
            return progress_line(summary)
        return summary_table(summary, self.options.detections, live=True, note=self._why_nothing)


def _parser() -> argparse.ArgumentParser:
    default = WatchOptions()
    parser = argparse.ArgumentParser(
        prog="watch_detections",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is watched")
    what.add_argument(
        "--detections",
        default=default.detections,
        metavar="TOPIC",
        help="Detection2DArray (default: %(default)s)",
    )
    what.add_argument(
        "--ground-truth", metavar="TOPIC", help="Detection2DArray of the same stamps: the truth"
    )
    what.add_argument("--image", metavar="TOPIC", help="Image of the same stamps, to be annotated")
    what.add_argument(
        "--best-effort", action="store_true", help="for detectors that publish best effort"
    )
    end = parser.add_argument_group("when it ends")
    end.add_argument(
        "--frames",
        type=at_least(int, 1),
        default=default.frames,
        metavar="N",
        help="after N answers",
    )
    end.add_argument(
        "--idle-timeout",
        dest="idle_timeout_s",
        type=at_least(float, 0),
        default=default.idle_timeout_s,
        metavar="S",
        help="after S seconds without an answer",
    )
    keep = parser.add_argument_group("what is kept and required")
    keep.add_argument(
        "--save-frames", type=Path, metavar="DIR", help="annotated frames; needs --image"
    )
    keep.add_argument(
        "--save-every",
        type=at_least(int, 1),
        default=default.save_every,
        metavar="K",
        help="one frame in K (default: %(default)s)",
    )
    keep.add_argument(
        "--output", type=Path, metavar="BAG", help="a bag of detections, labels and ground truth"
    )
    keep.add_argument("--storage", choices=("mcap", "sqlite3"), default=default.storage)
    keep.add_argument("--force", action="store_true", help="replace that bag if it exists")
    keep.add_argument("--report", type=Path, metavar="FILE", help="the figures as JSON")
    keep.add_argument(
        "--min-map50",
        type=at_least(float, 0),
        metavar="X",
        help="fail if mAP50 is below; needs --ground-truth",
    )
    keep.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _options(parser: argparse.ArgumentParser, arguments: list[str]) -> WatchOptions:
    parsed = parser.parse_args(arguments)
    if parsed.save_frames is not None and parsed.image is None:
        parser.error("--save-frames needs --image, the topic of the images to be annotated")
    if parsed.min_map50 is not None and parsed.ground_truth is None:
        parser.error("--min-map50 needs --ground-truth, the topic to compare with")
    return WatchOptions(**vars(parsed))


if __name__ == "__main__":
    sys.exit(main())
