"""Faults that are injected into a whole TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .comparison import differences, worst
from .gpu_memory import MEGABYTE, hold_gpu, take_memory
from .probes import Expectation, Probe, ProbeCase
from .running import open_plan, run_copied, run_once, same_numbers


def _open_and_run(path: Path, case: ProbeCase, **options: Any) -> str:
    """Load and run what should not be loaded; say how far off the outputs are."""
    with open_plan(path, runtime=case.runtime, **options) as backend:
        outputs = run_copied(backend, same_numbers(backend))
    found = differences(outputs, run_once(case.plan))
    return "TensorRT takes it; " + "max |Δ| " + ", ".join(map(str, worst(found)))


def _missing_file(case: ProbeCase) -> str:
    return _open_and_run(case.folder / "missing.plan", case)


def _cut(share: float, case: ProbeCase) -> str:
    content = case.plan.read_bytes()
    return _open_and_run(case.damaged(content[: int(len(content) * share)]), case)


def _random_bytes(case: ProbeCase) -> str:
    content = np.random.default_rng(9).integers(0, 256, MEGABYTE, np.uint8).tobytes()
    return _open_and_run(case.damaged(content), case)


def _flipped(first: float, last: float, case: ProbeCase) -> str:
    """Turn all bits of 64 bytes between two places, as shares of the length."""
    content = np.frombuffer(case.plan.read_bytes(), np.uint8).copy()
    places = np.linspace(first * len(content), last * len(content), 64, endpoint=False)
    content[places.astype(int)] ^= 0xFF
    return _open_and_run(case.damaged(content.tobytes()), case)


def _other_version(case: ProbeCase) -> str:
    return _open_and_run(case.foreign_plan(), case)


def _wrong_inputs(change: Callable[[NDArray[Any]], NDArray[Any]], case: ProbeCase) -> str:
    with open_plan(case.plan) as backend:
        inputs = {name: change(array) for name, array in same_numbers(backend).items()}
        backend.run(inputs)
    return "it ran"


def _input_not_given(case: ProbeCase) -> str:
    with open_plan(case.plan) as backend:
        backend.run({})
    return "it ran"


def _other_thread(case: ProbeCase) -> str:
    with open_plan(case.plan) as backend, ThreadPoolExecutor(1) as pool:
        pool.submit(backend.run, same_numbers(backend)).result()
    return "it ran"


def _closed(case: ProbeCase) -> str:
    backend = open_plan(case.plan)
    inputs = same_numbers(backend)
    backend.close()
    backend.run(inputs)
    return "it ran"


def _missing_plugins(case: ProbeCase) -> str:
    return _open_and_run(case.plan, case, plugin_libraries=(str(case.folder / "libplugins.so"),))


def _no_such_gpu(case: ProbeCase) -> str:
    return _open_and_run(case.plan, case, device=99)


def _no_such_dla(case: ProbeCase) -> str:
    return _open_and_run(case.plan, case, dla_core=99)


def _no_memory(left_mb: int, case: ProbeCase) -> str:
    """Load a plan while nearly all of the GPU's memory is taken."""
    with hold_gpu(case.library()) as gpu:
        blocks = take_memory(gpu, left_mb * MEGABYTE)
        try:
            return _open_and_run(case.plan, case)
        finally:
            with gpu.current():
                blocks.clear()  # an allocation that nobody holds is given back


FAULTS: Mapping[str, Probe] = {
    "file missing": Probe(_missing_file),
    "empty file": Probe(partial(_cut, 0.0)),
    "plan cut after 1 %": Probe(partial(_cut, 0.01)),
    "plan cut in the middle": Probe(partial(_cut, 0.5)),
    "plan with flipped bytes at its start": Probe(partial(_flipped, 0.0, 0.002)),
    # Weights are bytes like others: TensorRT need not notice.
    "plan with flipped bytes all over": Probe(partial(_flipped, 0.0, 1.0), Expectation.SURVIVAL),
    "random bytes": Probe(_random_bytes),
    "plan of another version": Probe(_other_version),
    "wrong shape": Probe(partial(_wrong_inputs, lambda array: array[..., :-1])),
    "wrong number of dimensions": Probe(partial(_wrong_inputs, lambda array: array[0])),
    "wrong type": Probe(partial(_wrong_inputs, lambda array: array.astype(np.float64))),
    "input not given": Probe(_input_not_given),
    "used by another thread": Probe(_other_thread),
    "used after close": Probe(_closed),
    "missing plugin library": Probe(_missing_plugins),
    "no such GPU": Probe(_no_such_gpu),
    "no such DLA core": Probe(_no_such_dla),
    "memory used up": Probe(partial(_no_memory, 0)),
    "memory used up but for 64 MB": Probe(partial(_no_memory, 64), Expectation.SURVIVAL),
}
"""Each has to leave a process in which a good plan runs as before."""
