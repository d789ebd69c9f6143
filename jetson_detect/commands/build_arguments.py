"""The command line of a build."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.sources import choose_source
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.commands.numbers import at_least, positive
from jetson_detect.core.engines.build_options import BuildOptions, HardwareCompatibility, Shape
from jetson_detect.core.engines.cache import (
    DEFAULT_SIZE_LIMIT_MB,
    EngineCache,
    default_cache_folder,
)
from jetson_detect.core.engines.content_hash import SOURCE_FORMATS
from jetson_detect.core.engines.proof import ProofLimits
from jetson_detect.core.model import Format, ModelSpec, Precision
from jetson_detect.core.onnx_graphs import Calibration, Int8Options, NmsMode
from jetson_detect.core.sample_frames import FrameChoice

_ALL = "all"
_LIMITS = {
    "tensor_relative": "most that any number of an output may be off, as a share of the largest",
    "tensor_rms": "most that an output's rms error may be, as a share of its rms",
    "map50": "least mAP50 with what the source is sure of as truth",
    "map50_drop": "most mAP50 that may be lost against known truth",
    "box_input_px": "most that edges may move (p99), in pixels of the network's input",
    "disagreement": "largest share of objects that only one of the two finds",
    "min_speedup": "how many times as fast as the source it must be",
}


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the engines are kept."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help=f"folder of the engines (default: {default_cache_folder()})",
    )
    parser.add_argument(
        "--cache-size-mb",
        type=at_least(int, 1),
        default=DEFAULT_SIZE_LIMIT_MB,
        metavar="N",
        help="size above which the least recently used engines are removed (default: %(default)s)",
    )


def open_cache(options: argparse.Namespace) -> EngineCache:
    """Open the cache that the arguments name."""
    return EngineCache(options.cache or default_cache_folder(), options.cache_size_mb)


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything that can be said about a build, but the models and precisions."""
    _add_network(parser.add_argument_group("the network"))
    _add_plan(parser.add_argument_group("TensorRT"))
    add_frame_arguments(parser.add_argument_group("calibration and proof"))
    limits = parser.add_argument_group(
        "limits of the proof", "what the engine's precision allows unless given"
    )
    for name, text in _LIMITS.items():
        limits.add_argument(f"--{name.replace('_', '-')}", type=at_least(float, 0), help=text)
    parser.add_argument("--force", action="store_true", help="build also what the cache has")
    add_stage_arguments(parser.add_argument_group("processes"))


def add_source_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """Add which of a model's files is taken; ``text`` says for what, and what ``all`` does."""
    parser.add_argument(
        "--source",
        choices=[*(each.value for each in SOURCE_FORMATS), _ALL],
        help=f"{text} (default: the best there is)",
    )


def wanted_sources(options: argparse.Namespace, model: ModelSpec) -> list[Format | None]:
    """Return the formats of the files to take: those that exist for ``all``, None for the best.

    Raises
    ------
    ModelError
        If the model has no such file.

    """
    if options.source == _ALL:
        return [
            each
            for each in SOURCE_FORMATS
            if any(file.path.exists() for file in model.files_for([each]))
        ]
    if options.source is None:
        return [None]
    return [choose_source(model, Format(options.source)).format]


def add_stage_arguments(group: argparse._ArgumentGroup) -> None:
    """Add what each stage's process may take."""
    defaults = StageLimits()
    group.add_argument(
        "--memory-mb",
        type=at_least(int, 0),
        default=defaults.memory_mb,
        metavar="N",
        help="resident memory above which a stage is ended; 0 for no limit (default: %(default)s)",
    )
    group.add_argument(
        "--deadline-s",
        type=positive(float),
        default=defaults.deadline_s,
        metavar="S",
        help="seconds after which a stage is ended (default: %(default)s)",
    )
    group.add_argument(
        "--niceness", type=at_least(int, 0), default=defaults.niceness, help=argparse.SUPPRESS
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--nms",
        choices=[mode.value for mode in NmsMode],
        default=NmsMode.AUTO.value,
        help="what becomes of suppression inside the network (default: %(default)s)",
    )
    defaults = Int8Options()
    group.add_argument(
        "--int8-calibration",
        choices=[each.value for each in Calibration],
        default=defaults.calibration.value,
        help="how ranges follow from the values seen (default: %(default)s)",
    )
    group.add_argument(
        "--int8-exclude", default="", metavar="NODE,…", help="convolutions that stay as they are"
    )
    group.add_argument(
        "--shape",
        type=_shape,
        action="append",
        default=[],
        metavar="INPUT=1x3x640x640",
        help="fix the open sizes of an input",
    )
    group.add_argument(
        "--profile",
        type=_profile,
        action="append",
        default=[],
        metavar="INPUT=MIN,OPT,MAX",
        help="keep an input's sizes open: its smallest, best and largest shape, as "
        "image=1x3x320x320,1x3x640x640,1x3x640x640",
    )


def _add_plan(group: argparse._ArgumentGroup) -> None:
    defaults = BuildOptions()
    group.add_argument(
        "--workspace-mb",
        type=at_least(int, 1),
        default=defaults.workspace_mb,
        metavar="N",
        help="most scratch memory of a layer (default: %(default)s)",
    )
    group.add_argument(
        "--optimization-level", type=int, choices=range(6), help="0: quick build, 5: quick engine"
    )
    group.add_argument("--no-tf32", action="store_true", help="no TensorFloat-32 in fp32 layers")
    group.add_argument(
        "--dla-core", type=int, default=defaults.dla_core, metavar="N", help="build for a DLA core"
    )
    group.add_argument(
        "--no-gpu-fallback", action="store_true", help="fail where the DLA cannot run a layer"
    )
    group.add_argument("--sparsity", action="store_true", help="use kernels for 2:4 sparse weights")
    group.add_argument(
        "--tactic-sources", metavar="NAME,…", help="where kernels may come from, as CUDNN,CUBLAS"
    )
    group.add_argument(
        "--version-compatible", action="store_true", help="also for later TensorRT versions"
    )
    group.add_argument(
        "--hardware-compatibility",
        choices=[each.value for each in HardwareCompatibility],
        default=defaults.hardware_compatibility.value,
        help="on which other GPUs it runs (default: %(default)s)",
    )
    group.add_argument("--refit", action="store_true", help="weights may be exchanged later")
    group.add_argument(
        "--strongly-typed", action="store_true", help="precision as written in the ONNX file"
    )
    group.add_argument("--no-timing-cache", action="store_true", help="measure every kernel anew")
    group.add_argument("--device", type=at_least(int, 0), default=0, help="the GPU's index")


def add_frame_arguments(group: argparse._ArgumentGroup) -> None:
    """Add which frames the calibration and the proof take."""
    for name, text in (
        ("calibration", "frames that int8 takes its ranges from"),
        ("proof", "frames on which engine and source are compared"),
    ):
        group.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="PATH",
            help=f"{text}: folders of images, videos, or a bag (default: drawn scenes)",
        )
        group.add_argument(f"--{name}-topic", default="", metavar="TOPIC", help="the bag's topic")
        group.add_argument(
            f"--{name}-frames",
            type=at_least(int, 1),
            default=_default_frames(name).choice.count,
            metavar="N",
            help="how many, evenly spaced (default: %(default)s)",
        )


def stage_limits(options: argparse.Namespace) -> StageLimits:
    """Return what the stages may take."""
    return StageLimits(options.memory_mb, options.deadline_s, options.niceness)


def job_of(options: argparse.Namespace, model: Path, precision: Precision) -> BuildJob:
    """Return the build of one model in one precision that the arguments ask for."""
    limits = {
        name: getattr(options, name) for name in _LIMITS if getattr(options, name) is not None
    }
    return BuildJob(
        model=model,
        options=_plan_options(options, precision),
        nms=NmsMode(options.nms),
        int8=Int8Options(
            Calibration(options.int8_calibration),
            excluded_nodes=tuple(filter(None, options.int8_exclude.split(","))),
        ),
        shapes={
            **dict(options.shape),
            **{name: _open_shape(shapes) for name, shapes in options.profile},
        },
        calibration=frame_source(options, "calibration"),
        proof=frame_source(options, "proof"),
        limits=ProofLimits.for_precision(precision, not options.no_tf32, **limits),
        device=options.device,
        timing_cache=not options.no_timing_cache,
        force=options.force,
    )


def _plan_options(options: argparse.Namespace, precision: Precision) -> BuildOptions:
    sources = options.tactic_sources
    return BuildOptions(
        precision=precision,
        tf32=not options.no_tf32,
        workspace_mb=options.workspace_mb,
        optimization_level=options.optimization_level,
        profiles=dict(options.profile),
        dla_core=options.dla_core,
        gpu_fallback=not options.no_gpu_fallback,
        sparsity=options.sparsity,
        tactic_sources=None if sources is None else tuple(filter(None, sources.split(","))),
        version_compatible=options.version_compatible,
        hardware_compatibility=HardwareCompatibility(options.hardware_compatibility),
        refit=options.refit,
        strongly_typed=True if options.strongly_typed else None,
    )


def frame_source(options: argparse.Namespace, name: str) -> FrameSource:
    """Return the frames that the arguments name for the calibration or the proof."""
    sources: Sequence[str] = getattr(options, name)
    choice: FrameChoice = replace(
        _default_frames(name).choice,
        sources=tuple(sources),
        count=getattr(options, f"{name}_frames"),
    )
    return FrameSource(choice, getattr(options, f"{name}_topic"))


def _default_frames(name: str) -> FrameSource:
    source: FrameSource = getattr(BuildJob(Path()), name)
    return source


def _shape(text: str) -> tuple[str, Shape]:
    name, _, sizes = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not INPUT=1x3x640x640")
    return name, _sizes(sizes)


def _profile(text: str) -> tuple[str, tuple[Shape, Shape, Shape]]:
    name, _, shapes = text.rpartition("=")
    parts = shapes.split(",")
    if not name or len(parts) != 3:
        raise argparse.ArgumentTypeError(f"'{text}' is not INPUT=MIN,OPT,MAX")
    smallest, best, largest = map(_sizes, parts)
    return name, (smallest, best, largest)


def _sizes(text: str) -> Shape:
    try:
        sizes = tuple(int(size) for size in text.split("x"))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no shape as 1x3x640x640")
    return sizes


def _open_shape(shapes: tuple[Shape, Shape, Shape]) -> tuple[int | None, ...]:
    """Return the sizes that are the same in all three; None for the others."""
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes))
