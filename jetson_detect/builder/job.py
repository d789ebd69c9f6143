"""What is to be built, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.core.engines.build_options import BuildOptions
from jetson_detect.core.engines.proof import ProofLimits
from jetson_detect.core.engines.proof.frame_run import RunOptions
from jetson_detect.core.model import Format
from jetson_detect.core.onnx_graphs import Int8Options, NmsMode
from jetson_detect.core.sample_frames import FrameChoice

CALIBRATION_SEED = 1009
"""Other scenes than those of the proof."""


@dataclass(frozen=True)
class BuildJob:
    """One engine of one model."""

    model: Path
    """The model's folder."""
    source: Format | None = None
    """Which of its files to build from; None for the best one that is there."""
    options: BuildOptions = BuildOptions()
    """What TensorRT is told; the precision among it."""
    nms: NmsMode = NmsMode.AUTO
    """What becomes of suppression inside the network."""
    int8: Int8Options = Int8Options()
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """Sizes of inputs that the source leaves open; None keeps one open, for a profile."""
    calibration: FrameSource = FrameSource(FrameChoice(count=128, seed=CALIBRATION_SEED))
    """From which the ranges of int8 are taken."""
    proof: FrameSource = FrameSource(FrameChoice(count=64))
    """On which the engine has to agree with its source."""
    limits: ProofLimits | None = None
    """How well it has to agree; None for what its precision allows."""
    runs: RunOptions = RunOptions()
    """How often engine and source are run for it; ``device`` and ``options`` say on what."""
    device: int = 0
    """The GPU's index."""
    timing_cache: bool = True
    """Whether what was measured in earlier builds makes this one faster."""
    force: bool = False
    """Build also what is in the cache already."""
