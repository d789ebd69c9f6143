"""What is tried with a lean runtime."""

from __future__ import annotations

from collections.abc import Mapping

from .check import CheckFailed
from .faults import FAULTS
from .gpu_memory import current_context
from .probes import Expectation, Probe, ProbeCase


def _lean_library(case: ProbeCase) -> str:
    library = case.library()
    return f"{library}, {library.driver.device_count} GPU(s), CUDA {library.driver.cuda_version}"


def _lean_runtime(case: ProbeCase) -> str:
    library = case.library()
    with current_context(library):
        runtime = library.trt.Runtime(library.logger)
        text = f"{type(runtime).__name__} made, {runtime.num_DLA_cores} DLA cores"
        del runtime
    return text


def _lean_refuses(case: ProbeCase) -> str:
    """Load a full version's plan with the lean library, which needs no pycuda."""
    library, plan = case.library(), case.foreign_plan()
    with current_context(library):
        mark = library.errors.mark()
        runtime = library.trt.Runtime(library.logger)
        engine = runtime.deserialize_cuda_engine(plan.read_bytes())
        loaded = engine is not None
        del engine, runtime
    if loaded:
        raise CheckFailed(f"{plan.name} was loaded")
    return f"{plan.name}: {library.errors.since(mark)}"


LEAN_PROBES: Mapping[str, Probe] = {
    "library and driver": Probe(_lean_library, Expectation.ANSWER),
    "runtime made": Probe(_lean_runtime, Expectation.ANSWER),
    "plan of another version, TensorRT's own words": Probe(_lean_refuses, Expectation.ANSWER),
    **{name: FAULTS[name] for name in ("plan of another version", "file missing", "random bytes")},
}
