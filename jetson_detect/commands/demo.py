"""The whole chain on this machine: camera, detector and observer, three processes over DDS."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetson_detect.commands.child_processes import Child, ChildError, Children
from jetson_detect.commands.numbers import at_least
from jetson_detect.commands.stop_signals import StopSignals
from jetson_detect.ros_domain import free_domain

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from jetson_detect.commands.watch_detections import Watch

_EXIT_FINE, _EXIT_FAILED, _EXIT_ERROR = 0, 1, 2

_IMAGE, _TRUTH, _DETECTIONS = "/camera/image_raw", "/camera/ground_truth", "/camera/detections"
_DETECTOR = "/detector"
_START_S = 60.0
"""How long detector and source may take to start."""
_LINGER_S = 5.0
"""How long the replay waits for the watch to have seen everything."""
_FRAME_ANSWER_S = 10.0
_CAMERA_RATE = 15.0

_DESCRIPTION = """\
Run the main job for real: a bag of drawn scenes, or a synthetic camera, the detector node and an
observer, each in a process of its own.  Shows a live table, compares with the ground truth, and
leaves annotated frames and a bag of detections in the output folder.
"""

_EPILOG = """\
exit status:
  0    every frame was answered (--source bag) and mAP50 is high enough
  1    it is not, or one of the processes failed
  2    an argument is wrong, a file cannot be written or a library is missing
  130  stopped by Ctrl-C (143 by SIGTERM)
"""


@dataclass(frozen=True)
class DemoOptions:
    """How the demo is run."""

    source: str = "bag"
    frames: int = 200
    storage: str = "mcap"
    min_map50: float = 0.9
    output: Path = Path("demo_output")
    model: str = "demo"
    domain_id: int | None = None
    """ROS_DOMAIN_ID; None is one that nobody uses."""

    @property
    def bag(self) -> Path:
        """Where the bag is kept for the next time: another one for other settings or drawings."""
        from jetson_detect.core import scenes

        modules = sorted(Path(scenes.__file__).parent.glob("*.py"))
        drawings = zlib.crc32(b"".join(module.read_bytes() for module in modules))
        return self.output / f"scenes_{self.frames}_{self.storage}_{drawings:08x}"

    @property
    def pictures(self) -> Path:
        """Where the annotated frames go."""
        return self.output / "frames"

    @property
    def logs(self) -> Path:
        """Where the processes' logs go."""
        return self.output / "logs"

    @property
    def replay_report(self) -> Path:
        """Where the replay says what came back."""
        return self.output / "replay.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    with StopSignals() as stop:
        try:
            options = DemoOptions(**vars(_parser().parse_args(arguments)))
            return _run(options, stop)
        except KeyboardInterrupt:
            return stop.exit_status


def _run(options: DemoOptions, stop: StopSignals) -> int:
    from jetson_detect.bags.errors import BagError
    from jetson_detect.core.evaluation import EvaluationError

    started = time.monotonic()
    try:
        domain = free_domain() if options.domain_id is None else options.domain_id
        environment = _environment(options, domain)
        os.environ.update(environment)
        options.logs.mkdir(parents=True, exist_ok=True)
        _clear_results(options)
        if options.source == "bag":
            _make_bag(options, stop)
        print(f"camera ({options.source}), detector and observer in ROS domain {domain}")
        watch = _run_processes(options, environment, stop)
    except ChildError as error:
        print(f"demo: {error}", file=sys.stderr)
        return _EXIT_FAILED
    except (BagError, EvaluationError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return _EXIT_ERROR
    if stop.requested:
        print("demo: stopped", file=sys.stderr)
        return stop.exit_status
    status = _conclude(options, watch)
    print(f"done in {time.monotonic() - started:.1f} s")
    return status


def _environment(options: DemoOptions, domain: int) -> dict[str, str]:
    from jetson_detect.transport import localhost_environment, shared_memory_environment

    return {
        **localhost_environment(),
        **shared_memory_environment(),
        "ROS_DOMAIN_ID": str(domain),
        "ROS_LOG_DIR": str(options.logs.absolute() / "ros"),
    }


def _clear_results(options: DemoOptions) -> None:
    """Remove what a former run left, so that what is there afterwards is of this run."""
    for picture in options.pictures.glob("frame_*.jpg"):
        picture.unlink()
    for file in (options.output / "frames.png", options.output / "report.json"):
        file.unlink(missing_ok=True)
    options.replay_report.unlink(missing_ok=True)


def _make_bag(options: DemoOptions, stop: StopSignals) -> None:
    """Write the bag of drawn scenes unless it is there already.

    Raises
    ------
    BagError
        If it cannot be written.

    """
    if (options.bag / "metadata.yaml").is_file():
        return
    from jetson_detect.bags.demo_bag import DemoBagConfig, write_demo_bag

    def check_stop(number: int) -> None:
        if stop.requested:
            raise KeyboardInterrupt

    print(f"drawing {options.frames} scenes into {options.bag}, once", flush=True)
    config = DemoBagConfig(frames=options.frames, storage=options.storage)
    write_demo_bag(options.bag, config, on_frame=check_stop)


def _run_processes(
    options: DemoOptions, environment: Mapping[str, str], stop: StopSignals
) -> Watch:
    """Run detector, source and watch until the source has ended; returns the watch, closed.

    The detector is activated when the watch hears the source: discovery may take seconds, and what
    is sent before it is complete is lost to whoever is late.

    Raises
    ------
    ChildError
        If the detector or the source fails.

    """
    from lifecycle_msgs.msg import Transition

    from jetson_detect.commands.watch_detections import Watch, WatchOptions
    from jetson_detect.core.contact_sheet import SHEET_PICTURES

    with Children(options.logs, environment) as children:
        detector = children.start(
            "detector",
            "jetson_detect.commands.detector_node",
            *("--ros-args", "-p", f"model:={options.model}"),
            *("-p", f"image_topics:=[{_IMAGE}]", "-p", "autostart:=false"),
        )
        source = _start_source(options, children)
        watch_options = WatchOptions(
            detections=_DETECTIONS,
            image=_IMAGE,
            ground_truth=_TRUTH,
            save_frames=options.pictures,
            save_every=-(-options.frames // SHEET_PICTURES),
            output=options.output / "detections",
            storage=options.storage,
            force=True,
            min_map50=options.min_map50,
            report=options.output / "report.json",
        )
        with Watch(watch_options) as watch:
            run = _Run(watch, detector, source, stop)
            run.bring_detector_to(Transition.TRANSITION_CONFIGURE)
            run.wait_for(lambda: watch.log.truths and watch.log.images, "the images and the truth")
            run.bring_detector_to(Transition.TRANSITION_ACTIVATE)
            if options.source == "bag":
                # The replay stays after its report, until the watch has read everything.
                run.spin_while(
                    lambda: (
                        source.status is None
                        and not (
                            options.replay_report.is_file()
                            and watch.log.frames >= options.frames
                            and watch.log.uncompared == 0
                        )
                    )
                )
                source.stop()
            else:
                run.spin_while(lambda: source.status is None and watch.log.frames < options.frames)
            if not stop.requested:
                _check_source(options, source)
        return watch


class _Run:
    """The watch spinning while the other processes are looked after."""

    def __init__(self, watch: Watch, detector: Child, source: Child, stop: StopSignals) -> None:
        self._watch, self._detector, self._source, self._stop = watch, detector, source, stop

    def spin_while(self, condition: Callable[[], object]) -> None:
        """Spin until the condition no longer holds or a stop is asked for.

        Raises
        ------
        ChildError
            If the detector ends.

        """
        while condition() and not self._stop.requested:
            self._watch.spin_once()
            if self._detector.status is not None:
                raise self._detector.failure(f"ended with status {self._detector.status}")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Spin until the condition holds or a stop is asked for.

        Raises
        ------
        ChildError
            If detector or source end, or it takes too long.

        """
        deadline = time.monotonic() + _START_S
        self.spin_while(
            lambda: not condition() and self._source.status is None and time.monotonic() < deadline
        )
        if self._stop.requested or condition():
            return
        if self._source.status is not None:
            raise self._source.failure(f"ended with status {self._source.status}")
        raise self._detector.failure(
            f"or another was not ready: waited {_START_S:.0f} s for {what}"
        )

    def bring_detector_to(self, transition: int) -> None:
        """Ask the detector, a managed node, for a transition.

        Raises
        ------
        ChildError
            If it refuses.

        """
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self._watch.node.create_client(ChangeState, f"{_DETECTOR}/change_state")
        self.wait_for(client.service_is_ready, "the detector's life cycle services")
        answer = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self.wait_for(answer.done, f"the detector's answer to transition {transition}")
        if not self._stop.requested and not answer.result().success:
            raise self._detector.failure("refused to be configured or activated")


def _start_source(options: DemoOptions, children: Children) -> Child:
    if options.source == "camera":
        return children.start(
            "camera",
            "jetson_detect.commands.scene_camera",
            *("--ros-args", "-r", "__ns:=/camera"),
            *("-p", f"rate:={_CAMERA_RATE}", "-p", "seed:=7"),
        )
    return children.start(
        "replay",
        "jetson_detect.commands.replay",
        *(options.bag, "--lock-step", "--stamp", "now", "--timeout", _FRAME_ANSWER_S),
        *("--also", _TRUTH, "--detections", _DETECTIONS, "--report", options.replay_report),
        *("--linger", _LINGER_S),
    )


def _check_source(options: DemoOptions, source: Child) -> None:
    """Raise ``ChildError`` if the source failed; frames lost are told of later."""
    reported = options.replay_report.is_file() if options.source == "bag" else source.status is None
    if not reported:
        raise source.failure(f"ended with status {source.status}")


def _conclude(options: DemoOptions, watch: Watch) -> int:
    """Show what came of it; returns the exit status."""
    from jetson_detect.core.contact_sheet import write_contact_sheet

    status = watch.conclude()
    frames = watch.log.frames
    if options.source == "camera":
        print(
            f"{frames} frames answered; a camera does not wait, so frames that come while the "
            "detector is busy are passed over"
        )
    else:
        replayed = json.loads(options.replay_report.read_text(encoding="utf-8"))
        lost = len(replayed["lost"])
        print(f"{replayed['sent']} frames sent in lock-step, {lost} lost, {frames} answers seen")
        problems = lock_step_problems(options, replayed, frames)
        for problem in problems:
            print(f"demo: {problem}", file=sys.stderr)
        status = _EXIT_FAILED if problems else status
    sheet = options.output / "frames.png"
    if watch.saver is not None and write_contact_sheet(watch.saver.paths, sheet):
        print(f"all at a glance in {sheet}")
    return status


def lock_step_problems(options: DemoOptions, replayed: dict[str, Any], seen: int) -> list[str]:
    """Say which frames were lost, and where.

    Args:
        options: of the demo.
        replayed: the replay's report.
        seen: answers that the watch has counted.
    """
    problems = []
    if replayed["problem"]:
        problems.append(f"the replay did not finish: {replayed['problem']}")
    if replayed["lost"]:
        shown = ", ".join(str(each["frame"]) for each in replayed["lost"][:10])
        problems.append(
            f"{len(replayed['lost'])} of {replayed['sent']} frames were lost, which in lock-step "
            f"must not happen: frame {shown}; see {options.logs / 'detector.log'}"
        )
    if seen < replayed["answered"]:
        problems.append(
            f"the observer saw {seen} of {replayed['answered']} answers; is the machine overloaded?"
        )
    return problems


def _parser() -> argparse.ArgumentParser:
    default = DemoOptions()
    parser = argparse.ArgumentParser(
        prog="demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--source",
        choices=("bag", "camera"),
        default=default.source,
        help="bag: replayed in lock-step, no frame is lost; camera: live (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=at_least(int, 1),
        default=default.frames,
        metavar="N",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--storage",
        choices=("mcap", "sqlite3"),
        default=default.storage,
        help="of the bags (default: %(default)s)",
    )
    parser.add_argument(
        "--min-map50",
        type=float,
        default=default.min_map50,
        metavar="X",
        help="fail if mAP50 is below (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=default.output,
        metavar="DIR",
        help="for bags, pictures, logs (default: %(default)s)",
    )
    parser.add_argument(
        "--model", default=default.model, help="a model's folder or name (default: %(default)s)"
    )
    parser.add_argument(
        "--domain-id",
        type=int,
        metavar="N",
        help="ROS_DOMAIN_ID (default: one that nobody uses)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
