"""One model on one backend, level upon level: engine, pipeline, node."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.nodes.task import NodeWork
from jetson_detect.benchmark.picture import SIZES, draw_picture, size_text
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.repeats import USUAL_REPEATS, Repeats
from jetson_detect.benchmark.rows import StreamRow
from jetson_detect.benchmark.session import Session, open_session
from jetson_detect.benchmark.stage_clock import StageClock
from jetson_detect.benchmark.staged_detector import StagedDetector
from jetson_detect.benchmark.stream_round import StreamRound
from jetson_detect.benchmark.transport_choice import TransportChoice
from jetson_detect.benchmark.turns import stream_calls, take_turns
from jetson_detect.core.backends import (
    Backend,
    BackendOptions,
    Postprocessing,
    TensorrtOptions,
    open_file,
)
from jetson_detect.core.backends.choice import BackendChoice
from jetson_detect.core.detector import Detector
from jetson_detect.core.gpu_memory import process_gpu_mb
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.process_memory import resident_mb
from jetson_detect.core.selection import Selection

if TYPE_CHECKING:
    from jetson_detect.benchmark.running_node import RunningNode

NAME = "model"
_BACK_TO_BACK = "back to back"
_TENSORRT, _TENSORRT_COPIES = "TensorRT, no copies", "TensorRT and copies"
_KEPT = "pipeline, kept memory"
_STAGES = "pipeline, by stage"
_THROUGHPUT_IN_FLIGHT = 2
"""One that is worked on and one that is on its way."""


class Level(str, Enum):
    """How much of the way is measured; each holds the one before it."""

    ENGINE = "engine"
    """The backend alone, tensor to tensors."""
    PIPELINE = "pipeline"
    """A picture to its detections, in one process."""
    NODE = "node"
    """A camera to its detections over DDS, in two processes."""


@dataclass(frozen=True)
class ModelTask:
    """What one process measures."""

    model: ModelSpec
    choice: BackendChoice
    sizes: tuple[str, ...] = ("1080p",)
    """Of the pictures, keys of :data:`SIZES`."""
    levels: tuple[Level, ...] = tuple(Level)
    cameras: tuple[int, ...] = (1,)
    """Of the node."""
    rates: tuple[float, ...] = ()
    """Frames a second of each of the node's cameras, beside the closed loops."""
    repeats: Repeats = USUAL_REPEATS
    transport: TransportChoice = TransportChoice.SHARED_MEMORY
    spin: bool = False
    """Whether whoever waits for a GPU keeps a CPU core busy; not the node."""
    postprocessing: Postprocessing = TensorrtOptions.postprocessing
    """Where TensorRT's candidates are told apart; not the node's."""
    used_gpu_mb: float | None = None
    """:func:`~jetson_detect.core.gpu_memory.used_gpu_mb` from before the process started."""

    def backend_options(self) -> BackendOptions:
        """How the backend may use the machine."""
        return BackendOptions(
            tensorrt=TensorrtOptions(spin=self.spin, postprocessing=self.postprocessing)
        )


@dataclass(frozen=True)
class ModelRows:
    """What one process has measured."""

    streams: tuple[StreamRow, ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True)
class _Lane:
    """One row while it is measured."""

    way: str
    drive: str
    measure: Callable[[], StreamRound]
    node: RunningNode | None = None


def measure_model(task: ModelTask, progress: Callable[[str, float | None], None]) -> ModelRows:
    """Measure all levels in turns, in this process, which should have done nothing else before.

    Raises
    ------
    BackendError, ModelError
        If the model does not run on the backend.
    ChildError
        If the node fails.

    """
    streams: list[StreamRow] = []
    ratios: list[Ratio] = []
    with ExitStack() as stack:
        # The other levels need nothing of ROS, and can be measured where there is none.
        with_node = Level.NODE in task.levels
        session = stack.enter_context(open_session(task.transport)) if with_node else None
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        backend = stack.enter_context(
            open_file(task.choice.backend, task.choice.file, task.backend_options())
        )
        detector = Detector(task.model, backend)
        clock = StageClock(Path(folder) / "pipeline.stages")
        staged = StagedDetector(task.model, backend, clock)
        for index, size in enumerate(task.sizes):
            progress(size, index / len(task.sizes))
            rows = _measure_size(task, SIZES[size], session, backend, detector, staged, clock)
            streams += rows
            ratios += _ratios(rows)
    return ModelRows(tuple(streams), tuple(ratios))


def _measure_size(
    task: ModelTask,
    size: tuple[int, int],
    session: Session | None,
    backend: Backend,
    detector: Detector,
    staged: StagedDetector,
    clock: StageClock,
) -> list[StreamRow]:
    picture = draw_picture(size)
    pixels = Pixels.from_array(picture)
    selection = Selection.from_thresholds(task.model.thresholds)
    frames = task.repeats.frames
    lanes: list[_Lane] = []
    with ExitStack() as stack:
        if Level.ENGINE in task.levels:
            run = _engine_run(task.model, backend, detector, pixels)
            stream_calls(run, task.repeats.warm_up)
            lanes.append(
                _Lane(Level.ENGINE.value, _BACK_TO_BACK, partial(stream_calls, run, frames))
            )
        if Level.PIPELINE in task.levels:
            lanes += _pipeline_lanes(
                Level.PIPELINE.value, detector, pixels, selection, task.repeats
            )
            # The clocks cost some ten microseconds a frame.
            detect = partial(staged.detect, pixels, selection)
            stream_calls(detect, task.repeats.warm_up)
            lanes.append(_Lane(_STAGES, _BACK_TO_BACK, partial(_staged, clock, detect, frames)))
            kept = picture.copy()
            if detector.keep(kept):
                lanes += _pipeline_lanes(
                    _KEPT, detector, Pixels.from_array(kept), selection, task.repeats
                )
        # Now: the rest is not what a detector takes.
        rss_mb = resident_mb()
        gpu_mb = process_gpu_mb(task.used_gpu_mb) if task.choice.backend == "tensorrt" else None
        if Level.ENGINE in task.levels and task.choice.backend == "tensorrt":
            lanes[1:1] = _tensorrt_lanes(task, stack)
        if session is not None:
            for cameras in task.cameras:
                lanes += _node_lanes(task, size, cameras, session, stack)
        rounds = take_turns(
            {f"{lane.way} {lane.drive}": lane.measure for lane in lanes}, task.repeats.rounds
        )
        precision = task.choice.file.precision.value
        case = f"{task.model.name} {task.choice.backend} {precision} {size_text(size)}"
        return [
            StreamRow(
                case,
                lane.way,
                lane.drive,
                rounds[f"{lane.way} {lane.drive}"],
                rss_mb if lane.node is None else lane.node.rss_mb,
                gpu_mb if lane.node is None else None,
            )
            for lane in lanes
        ]


def _pipeline_lanes(
    way: str, detector: Detector, pixels: Pixels, selection: Selection, repeats: Repeats
) -> list[_Lane]:
    """Detect in one picture after the other, and with several in flight where that is possible."""
    detect = partial(detector.detect, pixels, selection)
    stream_calls(detect, repeats.warm_up)
    lanes = [_Lane(way, _BACK_TO_BACK, partial(stream_calls, detect, repeats.frames))]
    if detector.depth > 1:
        start, finish = partial(detector.start, pixels), partial(detector.finish, selection)
        lanes.append(_overlapped_lane(way, start, finish, detector.depth, repeats))
    return lanes


def _engine_run(
    model: ModelSpec, backend: Backend, detector: Detector, pixels: Pixels
) -> Callable[[], object]:
    """Return what runs the backend on the picture's tensor, which lies where it reads it."""
    name = detector.input_name
    (info,) = (each for each in backend.description.inputs if each.name == name)
    tensor, _ = Preprocessor(model.input, info)(pixels)
    if name not in backend.input_arrays:
        return lambda: backend.run({name: tensor})
    backend.input_arrays[name][...] = tensor
    return lambda: backend.run(backend.input_arrays)


def _tensorrt_lanes(task: ModelTask, stack: ExitStack) -> list[_Lane]:
    """Run the plan without the backend too, and tell what is its own and what are copies."""
    from jetson_detect.benchmark.engine_loop import EngineLoop  # imports what only a GPU needs

    loop = stack.enter_context(EngineLoop(task.choice.file, task.backend_options()))
    acts = {_TENSORRT: loop.infer, _TENSORRT_COPIES: loop.copy_and_infer}
    for act in acts.values():
        stream_calls(act, task.repeats.warm_up)
    frames = task.repeats.frames
    return [
        *(
            _Lane(way, _BACK_TO_BACK, partial(stream_calls, act, frames))
            for way, act in acts.items()
        ),
        _overlapped_lane(_TENSORRT_COPIES, loop.start, loop.finish, loop.DEPTH, task.repeats),
    ]


def _staged(clock: StageClock, act: Callable[[], object], calls: int) -> StreamRound:
    before = clock.seconds()
    stream = stream_calls(act, calls)
    return stream.with_stages(clock.since(before))


def _overlapped_lane(
    way: str,
    start: Callable[[], object],
    finish: Callable[[], object],
    depth: int,
    repeats: Repeats,
) -> _Lane:
    measure = partial(_overlapped, start, finish, depth)
    measure(max(depth, repeats.warm_up))  # each place in flight takes its memory when it is used
    return _Lane(way, str(Drive(in_flight=depth)), partial(measure, repeats.frames))


def _overlapped(
    start: Callable[[], object], finish: Callable[[], object], depth: int, frames: int
) -> StreamRound:
    """Begin each frame before the one before it is finished."""
    begun: deque[float] = deque()
    latencies = []
    cpu = time.process_time()
    started = ended = time.perf_counter()
    for number in range(frames + depth - 1):
        if number < frames:
            begun.append(time.perf_counter())
            start()
        if number >= depth - 1:
            finish()
            ended = time.perf_counter()
            latencies.append((ended - begun.popleft()) * 1e3)
    cpu_s = time.process_time() - cpu
    return StreamRound(frames, len(latencies), ended - started, cpu_s, tuple(latencies))


def _node_lanes(
    task: ModelTask, size: tuple[int, int], cameras: int, session: Session, stack: ExitStack
) -> list[_Lane]:
    from jetson_detect.benchmark.running_node import RunningNode  # imports rclpy

    work = NodeWork(
        cameras,
        model=str(task.model.source),
        backend=task.choice.backend,
        precision=task.choice.file.precision.value,
    )
    node = stack.enter_context(RunningNode(Contestant.OURS, session, size, work))
    node.wait_until_ready(task.repeats.warm_up)
    frames = max(1, task.repeats.frames // cameras)
    drives = [Drive(frames), Drive(frames, in_flight=_THROUGHPUT_IN_FLIGHT)]
    drives += [Drive(frames, rate) for rate in task.rates]
    way = Level.NODE.value if cameras == 1 else f"{Level.NODE.value}, {cameras} cameras"
    return [_Lane(way, str(drive), node.round_of(drive), node) for drive in drives]


def _ratios(rows: Sequence[StreamRow]) -> list[Ratio]:
    """Compare the time that each level takes for a frame with that of the level below it."""
    throughput = str(Drive(in_flight=_THROUGHPUT_IN_FLIGHT))
    by_level: Mapping[str, StreamRow] = {
        row.way: row for row in rows if row.drive in (_BACK_TO_BACK, throughput)
    }
    alone = {row.drive: row for row in rows if row.way == _TENSORRT_COPIES}
    kept = [row for row in rows if row.way == _KEPT and row.drive == throughput]
    levels = [by_level[level.value] for level in Level if level.value in by_level]
    pairs = [
        *pairwise(levels),
        *((alone[row.drive], row) for row in (*levels, *kept) if row.drive in alone),
    ]
    return [
        Ratio.of(
            f"{NAME} {lower.case} time: {lower.way} / {upper.way}",
            [each.answer_s for each in lower.rounds],
            [each.answer_s for each in upper.rounds],
        )
        for lower, upper in pairs
    ]
