"""Which sections a command line of the benchmark asks for, and how they are measured."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.benchmark import model_level
from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.machine import Machine
from jetson_detect.benchmark.model_level import Level, ModelTask, measure_model
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.report import Report, Section
from jetson_detect.benchmark.rows import StreamRow
from jetson_detect.benchmark.session import Session, open_session
from jetson_detect.benchmark.transport_choice import TransportChoice
from jetson_detect.benchmark.workload import USUAL_WORKLOAD
from jetson_detect.builder.stage_errors import StageError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.builder.stage_process import run_stage
from jetson_detect.builder.stage_remedies import StageRemedies
from jetson_detect.commands.benchmark.arguments import (
    ALL,
    MESSAGE,
    MODEL,
    NODE,
    PREPROCESS,
    QUICK,
    SCALING,
    START,
)
from jetson_detect.commands.comparison_stages import EngineSearch, find_engines
from jetson_detect.commands.stop_signals import StopSignals
from jetson_detect.core.backends import Postprocessing
from jetson_detect.core.backends.choice import (
    NO_ENGINES,
    BackendChoice,
    check_names,
    find_choices,
    has_gpu,
)
from jetson_detect.core.engines.cache_folder import default_cache_folder
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.gpu_memory import used_gpu_mb
from jetson_detect.core.model import ModelSpec, load_model
from jetson_detect.share import find_model

# The other levels need ROS: they are imported when they are measured, so that a model's engine and
# pipeline can be where there is none.
if TYPE_CHECKING:
    from jetson_detect.benchmark.node_level import NodeLevel

_MODEL_TIMEOUT_S = 3600.0

Measure = Callable[[], Section]


def measure_sections(
    options: argparse.Namespace, stop: StopSignals, only: Container[str] | None = None
) -> Report:
    """Measure what a command line asks for, until it is told to stop.

    Parameters
    ----------
    options:
        Of :func:`~jetson_detect.commands.benchmark.arguments.benchmark_parser`.
    stop:
        Ends it after the section in work.
    only:
        The names of those sections that are wanted; all of them without it.

    Raises
    ------
    ChildError
        If something that is measured fails.
    ModelError, ValueError
        If the model or a backend's name is wrong.

    """
    transport = TransportChoice(options.transport)
    sections = []
    for name, measure in _plan(options, transport):
        if stop.requested:
            break
        if only is not None and name not in only:
            continue
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        sections.append(measure())
    return Report(Machine.here(transport.value), sections)


def _plan(options: argparse.Namespace, transport: TransportChoice) -> Iterator[tuple[str, Measure]]:
    level = options.level
    repeats = Repeats(options.rounds, options.frames, options.warm_up)

    def in_session(measure: Callable[[Session], Section]) -> Measure:
        def run() -> Section:
            with open_session(transport) as session:
                return measure(session)

        return run

    if level in (MESSAGE, ALL, QUICK):
        from jetson_detect.benchmark.message_level import MessageLevel, measure_messages

        messages = MessageLevel()
        yield MESSAGE, in_session(lambda session: measure_messages(messages, repeats, session))
    if level in (PREPROCESS, ALL, QUICK):
        from jetson_detect.benchmark.preprocess_level import PreprocessLevel, measure_preprocessing

        preprocess = PreprocessLevel()
        if level == QUICK:
            # By area larger ones are read at the memory's speed, of which neighbours take a part.
            preprocess = PreprocessLevel(("720p",), area_sizes=("480p",))
        yield PREPROCESS, lambda: measure_preprocessing(preprocess, repeats)
    if level in (NODE, ALL, QUICK):
        from jetson_detect.benchmark.node_level import measure_nodes

        nodes = _node_level(options)
        yield NODE, in_session(lambda session: measure_nodes(nodes, repeats, session))
    if level in (MODEL, ALL):
        model = load_model(find_model(options.model))
        check_names(options.backends)
        yield MODEL, lambda: _measure_model(model, options, repeats, transport)
    if level in (START, ALL):
        from jetson_detect.benchmark.start_level import StartLevel, measure_starts

        start = StartLevel(options.model, _runnable(options), rounds=options.rounds)
        yield START, in_session(lambda session: measure_starts(start, session))
    if level in (SCALING, ALL):
        from jetson_detect.benchmark.scaling_level import ScalingLevel, measure_scaling

        scaling = ScalingLevel()
        yield SCALING, in_session(lambda session: measure_scaling(scaling, repeats, session))


def _node_level(options: argparse.Namespace) -> NodeLevel:
    from jetson_detect.benchmark.node_level import NodeLevel

    if options.level == QUICK:
        return NodeLevel(sizes=("720p",))
    if options.level == ALL:
        return NodeLevel()
    return NodeLevel(
        (Contestant.OURS,) if options.no_baseline else NodeLevel.contestants,
        options.sizes,
        options.rates,
        USUAL_WORKLOAD.with_detections(options.detections),
    )


def _runnable(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the backends that there are files for; all of them if they were named for this."""
    if options.level == START:
        return tuple(options.backends)
    return ("tflite",)


def _measure_model(
    model: ModelSpec,
    options: argparse.Namespace,
    repeats: Repeats,
    transport: TransportChoice,
) -> Section:
    """Measure a model on each backend, in a process of its own."""
    choices, missing = find_choices(
        model, options.backends, engines=_engines(model, options.backends)
    )
    notes = [f"{each.backend}: {each.reason}" for each in missing]
    streams: list[StreamRow] = []
    ratios: list[Ratio] = []
    limits = StageLimits(deadline_s=_MODEL_TIMEOUT_S, niceness=0)
    remedies = StageRemedies(deadline="ask for less (--rounds, --frames)")
    for choice in _first_of_each(choices):
        task = ModelTask(model, choice, repeats=repeats, transport=transport)
        task = _with_options(task, options)
        with tempfile.TemporaryDirectory() as scratch:
            log = Path(scratch) / "log"
            try:
                rows = run_stage(
                    str(choice), measure_model, task, log, limits=limits, remedies=remedies
                ).value
            except StageError as error:
                notes.append(str(error))
                continue
        streams += rows.streams
        ratios += rows.ratios
    return Section(
        model_level.NAME,
        f"model '{model.name}': the engine alone, picture to detections, camera to detections over "
        "DDS; batch 1, which is what engines are built for",
        streams=tuple(streams),
        ratios=tuple(ratios),
        notes=tuple(notes),
    )


def _engines(model: ModelSpec, backends: Sequence[str]) -> EngineFiles:
    """Look into the cache of engines, in a child process: TensorRT is large."""
    if "tensorrt" not in backends or not has_gpu():
        return NO_ENGINES
    search = EngineSearch(default_cache_folder(), model)
    limits = StageLimits(deadline_s=_MODEL_TIMEOUT_S, niceness=0)
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        try:
            return run_stage("engine cache", find_engines, search, log, limits=limits).value
        except StageError as error:
            return EngineFiles(refusals=(str(error),))


def _with_options(task: ModelTask, options: argparse.Namespace) -> ModelTask:
    task = replace(task, used_gpu_mb=used_gpu_mb())
    if options.level == ALL:
        return task
    return replace(
        task,
        sizes=options.sizes,
        levels=tuple(Level(each) for each in options.levels),
        cameras=options.cameras,
        rates=options.rates,
        spin=options.spin,
        postprocessing=Postprocessing(options.postprocessing or task.postprocessing),
    )


def _first_of_each(choices: tuple[BackendChoice, ...]) -> list[BackendChoice]:
    """Return what each backend runs when it is asked for by name."""
    first: dict[str, BackendChoice] = {}
    for choice in choices:
        first.setdefault(choice.backend, choice)
    return list(first.values())
