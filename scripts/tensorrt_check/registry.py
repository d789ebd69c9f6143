"""All checks there are, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from jetson_detect.core.model import Precision

from .batch_checks import check_batch_detections, check_batch_outputs, check_batch_throughput
from .bench import Bench
from .check import Check
from .faults import FAULTS
from .feature_checks import (
    check_data_dependent_output,
    check_dynamic_shapes,
    check_leaks,
    check_two_threads,
    check_type,
)
from .isolation import check_probe
from .lean import LEAN_PROBES
from .network_checks import (
    check_build,
    check_candidates,
    check_detections,
    check_parity,
    check_timing,
)
from .picture_checks import check_letterbox, check_letterbox_timing
from .pipeline_checks import check_leaks_in_flight, check_pipeline
from .subjects import SUBJECTS


def full_checks(
    bench: Bench, subjects: Sequence[str], precisions: Sequence[Precision]
) -> Iterator[Check]:
    """All checks of a whole TensorRT."""
    networks = (
        ("build", check_build),
        ("parity", check_parity),
        ("detections", check_detections),
        ("candidates", check_candidates),
        ("time", check_timing),
        ("pipeline", check_pipeline),
    )
    for name in subjects:
        for precision in precisions:
            for title, check in networks:
                yield Check(
                    f"{name} {precision.value}: {title}",
                    partial(check, bench, SUBJECTS[name], precision),
                )
    yield Check("feature: dynamic shapes", partial(check_dynamic_shapes, bench))
    yield Check("feature: data-dependent output", partial(check_data_dependent_output, bench))
    for kind in ("uint8", "float16", "int64"):
        yield Check(f"feature: {kind} tensors", partial(check_type, bench, kind))
    yield Check("feature: two threads at once", partial(check_two_threads, bench))
    batches = (
        ("outputs as one by one", check_batch_outputs),
        ("detections as one by one", check_batch_detections),
        ("pictures a second", check_batch_throughput),
    )
    for precision in precisions:
        for title, check_batch in batches:
            name = f"batch: {title}, {precision.value}"
            yield Check(name, partial(check_batch, bench, precision))
    yield Check("pictures: as on the CPU", partial(check_letterbox, bench))
    yield Check("pictures: time", partial(check_letterbox_timing, bench))
    yield Check("feature: nothing stays behind", partial(check_leaks, bench))
    yield Check("feature: nothing stays behind in flight", partial(check_leaks_in_flight, bench))
    for name in FAULTS:
        yield Check(f"fault: {name}", partial(_check_fault, bench, name))


def _check_fault(bench: Bench, name: str) -> str:
    return check_probe(bench.output, bench.good_plan(), False, name)


def lean_checks(output: Path) -> Iterator[Check]:
    """All checks of a lean runtime; there is no plan that it could run."""
    for name in LEAN_PROBES:
        run = partial(check_probe, output, output / "none.plan", True, name)
        yield Check(f"lean: {name}", run)
