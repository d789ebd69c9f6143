"""Where and with what checks of a whole TensorRT run: its networks and its plans."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetson_detect.core.model import ModelSpec, Precision, load_model
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

from .check import CheckSkipped
from .graphs import GRAPHS
from .plans import list_plans, plan_name
from .subjects import SUBJECTS

if TYPE_CHECKING:
    from jetson_detect.core.engines.building import BuildOptions

TACTIC_SOURCES = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")
"""Those that need neither cuBLAS nor cuDNN."""
OPTIMIZATION_LEVEL = 1


@dataclass
class Bench:
    """Where and with what the checks run."""

    output: Path
    version: str
    library: TensorrtLibrary
    deadline: float | None = None
    """When no build is started any more, as ``time.monotonic()``."""
    reuse: bool = False
    """Whether plans that are there already are taken as they are."""
    warm_up: int = 50
    runs: int = 300
    _networks: dict[str, Path] = field(default_factory=dict)
    _built: set[Path] = field(default_factory=set)

    def network(self, name: str) -> Path:
        """Return a subject's or graph's ONNX file, written in the first call."""
        if name not in self._networks:
            if name in SUBJECTS:
                path = SUBJECTS[name].write(self.output / f"{name}_trt{self.version}")
                list_plans(path.parent, self.output, self.version)  # of earlier runs
            else:
                path = GRAPHS[name](self.output / f"{name}.onnx")
            self._networks[name] = path
        return self._networks[name]

    def model(self, name: str) -> ModelSpec:
        """Return a subject's model."""
        return load_model(self.network(name).parent)

    def plan_path(self, name: str, precision: Precision) -> Path:
        """Return where a plan of this version lies or will lie."""
        return self.output / plan_name(name, precision, self.version)

    def has(self, path: Path) -> bool:
        """Whether a plan is there that this run built or may take as it is."""
        return path in self._built or (self.reuse and path.exists())

    def plan(self, name: str, precision: Precision = Precision.FP32) -> Path:
        """Return a plan that was built.

        Raises
        ------
        CheckSkipped
            If it was not.

        """
        path = self.plan_path(name, precision)
        if not self.has(path):
            raise CheckSkipped(f"{path.name} was not built in this run")
        return path

    def small_plan(self, name: str, **options: Any) -> Path:
        """Return the plan of a graph, built in the first call; see :meth:`build`."""
        path = self.plan_path(name, options.get("precision", Precision.FP32))
        return path if self.has(path) else self.build(name, **options)

    def build(self, name: str, **options: Any) -> Path:
        """Build a plan with the options that this version has.

        Raises
        ------
        CheckSkipped
            If the time is up, or this version has no such precision.
        BuildError
            If it cannot be built.

        """
        from jetson_detect.core.engines.building import build_engine

        if self.deadline is not None and time.monotonic() > self.deadline:
            raise CheckSkipped("left out: the time was up")
        settings = self._build_options(**options)
        path = self.plan_path(name, settings.precision)
        path.write_bytes(build_engine(self.network(name), settings).plan)
        self._built.add(path)
        return path

    def good_plan(self) -> Path:
        """Return a plan that must run: the demo's where it was built."""
        demo = self.plan_path("demo", Precision.FP32)
        return demo if self.has(demo) else self.small_plan("affine")

    def _build_options(self, **options: Any) -> BuildOptions:
        from jetson_detect.core.engines.building import BuildOptions

        features, trt = self.library.features, self.library.trt
        if options.get("precision") is Precision.FP16 and not features.fp16_flag:
            raise CheckSkipped("this version takes the precision from the ONNX file")
        known = trt.TacticSource.__members__
        return BuildOptions(
            optimization_level=OPTIMIZATION_LEVEL if features.builder_optimization_level else None,
            tactic_sources=tuple(name for name in TACTIC_SOURCES if name in known),
            tf32=False,  # else FP32 is FP32 in name only
            **options,
        )
