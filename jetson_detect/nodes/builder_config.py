"""The builder node's parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from jetson_detect.builder.engine_targets import EngineTarget, find_folder
from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.core.backends.choice import AUTO
from jetson_detect.core.engines.build_options import BuildOptions, HardwareCompatibility
from jetson_detect.core.engines.cache import (
    DEFAULT_SIZE_LIMIT_MB,
    EngineCache,
    default_cache_folder,
)
from jetson_detect.core.engines.content_hash import SOURCE_FORMATS
from jetson_detect.core.engines.proof import ProofLimits
from jetson_detect.core.model import Format, Precision
from jetson_detect.core.onnx_graphs import NmsMode
from jetson_detect.nodes.managed_config import ManagedConfig
from jetson_detect.nodes.parameters import parameter
from jetson_detect.nodes.qos import ENGINES_TOPIC

TENSORRTS_OWN = -1
"""A number below 0 stands for TensorRT's default."""
BY_PRECISION = -1.0
"""A limit below 0 stands for what suits the precision."""


@dataclass(frozen=True)
class CalibrationConfig:
    """Frames that the ranges of int8 are taken from."""

    source: str = parameter(
        "", "a folder of images and videos, one of these, or a bag; empty for drawn scenes"
    )
    topic: str = parameter(
        BuildJob.calibration.topic, "the bag's topic of images; empty where it has only one"
    )
    count: int = parameter(
        BuildJob.calibration.choice.count, "how many, evenly spaced", range=(1, 100000)
    )

    def frames(self) -> FrameSource:
        """Say the same to the builder."""
        return _frames(self.source, self.topic, self.count, BuildJob.calibration)


@dataclass(frozen=True)
class ProofConfig:
    """Frames on which an engine has to agree with its source, and how well."""

    source: str = parameter(
        "", "a folder of images and videos, one of these, or a bag; empty for drawn scenes"
    )
    topic: str = parameter(
        BuildJob.proof.topic, "the bag's topic of images; empty where it has only one"
    )
    count: int = parameter(
        BuildJob.proof.choice.count, "how many, evenly spaced", range=(1, 100000)
    )
    map50: float = parameter(
        BY_PRECISION,
        "the least mAP50 of the engine with what its source finds as truth; below 0 what suits the "
        "precision",
        range=(-1.0, 1.0),
    )
    box_input_px: float = parameter(
        BY_PRECISION,
        "the most that an edge may move, in pixels of the network's input; below 0 what suits the "
        "precision",
        range=(-1.0, 10000.0),
    )
    disagreement: float = parameter(
        BY_PRECISION,
        "the largest share of objects that only one of the two finds; below 0 what suits the "
        "precision",
        range=(-1.0, 1.0),
    )
    min_speedup: float = parameter(
        BY_PRECISION,
        "how many times as fast as its source the engine has to be; below 0 what suits the "
        "precision",
        range=(-1.0, 1000.0),
    )

    def frames(self) -> FrameSource:
        """Say the same to the builder."""
        return _frames(self.source, self.topic, self.count, BuildJob.proof)

    def limits(self, precision: Precision) -> ProofLimits:
        """Return the limits for a precision."""
        names = ("map50", "box_input_px", "disagreement", "min_speedup")
        given = {name: getattr(self, name) for name in names if getattr(self, name) >= 0.0}
        return ProofLimits.for_precision(precision, **given)


@dataclass(frozen=True)
class BuilderConfig(ManagedConfig):
    """What can be said about the builder node.

    Whatever names a place on the disk can only be given at start: parameters can be set over the
    network.
    """

    model_folders: tuple[str, ...] = parameter(
        (),
        "Folders whose models may be built, the first one first; empty for the models that come "
        "with the package.",
        read_only=True,
    )
    models: tuple[str, ...] = parameter(
        ("demo",), "Names of the models whose engines are kept built: folders in model_folders."
    )
    precisions: tuple[str, ...] = parameter(
        (Precision.FP16.value,),
        "Precisions of the engines, in the order of building.",
        choices=tuple(precision.value for precision in Precision),
    )
    source: str = parameter(
        AUTO,
        "Format of the file to build from; auto takes what needs the least conversion.",
        choices=(AUTO, *(kind.value for kind in SOURCE_FORMATS)),
        read_only=True,
    )
    nms: NmsMode = parameter(
        BuildJob.nms, "What becomes of suppression inside the network.", read_only=True
    )
    workspace_mb: int = parameter(
        BuildOptions.workspace_mb,
        "The most scratch memory that a layer may take, in MB.",
        range=(1, 1048576),
    )
    optimization_level: int = parameter(
        TENSORRTS_OWN,
        "0 (fast build) to 5 (fast engine), from TensorRT 8.6 on; below 0 for TensorRT's default.",
        range=(-1, 5),
    )
    dla_core: int = parameter(
        BuildOptions.dla_core,
        "The DLA core to build for, with the GPU for what it cannot run; below 0 for the GPU.",
        range=(-1, 7),
        read_only=True,
    )
    device: int = parameter(BuildJob.device, "The GPU's index.", range=(0, 63), read_only=True)
    sparsity: bool = parameter(
        BuildOptions.sparsity,
        "Whether kernels for 2:4 sparse weights may be taken where the weights are.",
        read_only=True,
    )
    tactic_sources: tuple[str, ...] = parameter(
        (),
        "Where kernels may come from, as CUBLAS or CUDNN; empty for TensorRT's default.",
        read_only=True,
    )
    version_compatible: bool = parameter(
        BuildOptions.version_compatible,
        "Whether later versions of TensorRT may run the engine; from 8.6 on.",
        read_only=True,
    )
    hardware_compatibility: HardwareCompatibility = parameter(
        BuildOptions.hardware_compatibility,
        "On which other GPUs the engine runs; from TensorRT 8.6 on.",
        read_only=True,
    )
    timing_cache: bool = parameter(
        True,
        "Whether measured times of kernels are kept in the cache's folder: the next build is "
        "faster.",
        read_only=True,
    )
    calibration: CalibrationConfig = parameter(
        CalibrationConfig(), "Frames that int8 is calibrated on", read_only=True
    )
    proof: ProofConfig = parameter(
        ProofConfig(), "The proof that an engine finds what its source finds", read_only=True
    )
    cache_folder: str = parameter(
        "",
        "Where engines are kept; empty for $JETSON_DETECT_CACHE/engines or "
        "~/.cache/jetson_detect/engines.",
        read_only=True,
    )
    cache_size_mb: int = parameter(
        DEFAULT_SIZE_LIMIT_MB,
        "The most that engines take there, in MB; the ones not used for longest go.",
        range=(1, 1 << 30),
        read_only=True,
    )
    memory_mb: int = parameter(
        StageLimits.memory_mb,
        "A stage of a build that takes more memory is ended, in MB; 0 for no limit.",
        range=(0, 1 << 30),
    )
    deadline_s: float = parameter(
        StageLimits.deadline_s,
        "A stage of a build that takes longer is ended, in seconds.",
        range=(1.0, 604800.0),
    )
    niceness: int = parameter(
        StageLimits.niceness,
        "How far the CPU priority of builds is lowered.",
        range=(0, 19),
    )
    build_on_activate: bool = parameter(
        True,
        "Build what is missing when the node is activated, and when parameters or models' files "
        "change; false leaves it to the service ~/build.",
    )
    engines_topic: str = parameter(
        ENGINES_TOPIC,
        "Topic that tells which engines there are; the same as the detector's.",
        read_only=True,
    )
    watch_period_s: float = parameter(
        30.0,
        "Seconds between two looks at the models' files and at the cache; 0 for none.",
        range=(0.0, 86400.0),
        read_only=True,
    )

    def targets(self) -> tuple[EngineTarget, ...]:
        """Return the engines that are to be there, in the order of building."""
        return tuple(
            EngineTarget(model, Precision(precision))
            for model in dict.fromkeys(self.models)
            for precision in dict.fromkeys(self.precisions)
        )

    def cache(self) -> EngineCache:
        """Return the cache.

        Raises
        ------
        CacheError
            If there is no place for it.

        """
        folder = Path(self.cache_folder) if self.cache_folder else default_cache_folder()
        return EngineCache(folder, self.cache_size_mb)

    def stage_limits(self) -> StageLimits:
        """Return what a stage of a build may take."""
        return StageLimits(self.memory_mb, self.deadline_s, self.niceness)

    def job(self, target: EngineTarget) -> BuildJob:
        """Describe a build.

        Raises
        ------
        ValueError
            If there is no such model.

        """
        return BuildJob(
            model=find_folder(target.model, self.model_folders),
            source=None if self.source == AUTO else Format(self.source),
            options=BuildOptions(
                precision=target.precision,
                workspace_mb=self.workspace_mb,
                optimization_level=_unless_default(self.optimization_level),
                dla_core=self.dla_core,
                sparsity=self.sparsity,
                tactic_sources=self.tactic_sources or None,
                version_compatible=self.version_compatible,
                hardware_compatibility=self.hardware_compatibility,
            ),
            nms=self.nms,
            calibration=self.calibration.frames(),
            proof=self.proof.frames(),
            limits=self.proof.limits(target.precision),
            device=self.device,
            timing_cache=self.timing_cache,
        )


def check_models(config: BuilderConfig) -> None:
    """Refuse models that are not in the trusted folders.

    Raises
    ------
    ValueError
        Naming the first of them.

    """
    for name, given in (("models", config.models), ("precisions", config.precisions)):
        if not given:
            raise ValueError(f"parameter '{name}' is empty: name at least one")
    for model in config.models:
        try:
            find_folder(model, config.model_folders)
        except ValueError as error:
            raise ValueError(f"parameter 'models': {error}") from error


def _unless_default(value: int) -> int | None:
    return None if value < 0 else value


def _frames(source: str, topic: str, count: int, default: FrameSource) -> FrameSource:
    choice = replace(default.choice, sources=(source,) if source else (), count=count)
    return replace(default, choice=choice, topic=topic)
