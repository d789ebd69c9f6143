"""Checks of features: shapes, types, threads, and what stays behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from jetson_detect.core.backends import BackendError
from jetson_detect.core.model import Precision
from jetson_detect.core.process_memory import resident_mb

from .bench import Bench
from .check import CheckFailed
from .comparison import TOLERANCE, differences, require_close, worst
from .gpu_memory import MEGABYTE, free_memory, hold_gpu
from .running import open_plan, open_reference, run_copied, run_once

OPENINGS = 20
"""How often a plan is opened and closed to see what stays behind."""
LEAK_MB = 2.0
"""What may stay behind after them."""

_SMALLEST, _BEST, _LARGEST = (1, 3, 16, 16), (1, 3, 32, 48), (4, 3, 64, 64)


def check_dynamic_shapes(bench: Bench) -> str:
    """Run at the ends and the middle of a profile, and beyond it."""
    plan = bench.small_plan("convolution", profiles={"x": (_SMALLEST, _BEST, _LARGEST)})
    random = np.random.default_rng(3)
    found = []
    with open_plan(plan) as backend, open_reference(bench.network("convolution")) as reference:
        for shape in (_SMALLEST, _BEST, _LARGEST, _BEST, _SMALLEST):
            inputs = {"x": random.standard_normal(shape).astype(np.float32)}
            found += differences(backend.run(inputs), reference.run(inputs))
        refusal = _refusal(lambda: backend.run({"x": np.zeros((5, 3, 64, 64), np.float32)}))
        inputs = {"x": random.standard_normal(_BEST).astype(np.float32)}
        found += differences(backend.run(inputs), reference.run(inputs))
    text = require_close(worst(found), TOLERANCE[Precision.FP32])
    return f"{text}; beyond the profile: {refusal}"


def _refusal(action: Callable[[], object]) -> str:
    """Return the text of the BackendError that an action has to raise."""
    try:
        action()
    except BackendError as error:
        return str(error)
    raise CheckFailed("what should have been refused was not")


def check_data_dependent_output(bench: Bench) -> str:
    """Run with many, few and no numbers other than 0."""
    counts = (1, 64, 7, 0, 30)
    places = np.random.default_rng(4).permutation(64)
    with (
        open_plan(bench.small_plan("nonzero")) as backend,
        open_reference(bench.network("nonzero")) as reference,
    ):
        for count in counts:
            numbers = np.zeros(64, np.float32)
            numbers[places[:count]] = 1.5
            inputs = {"x": numbers.reshape(4, 16)}
            found = differences(backend.run(inputs), reference.run(inputs))
            if found[0].absolute:
                raise CheckFailed(f"{count} numbers: {found[0]}")
    return f"exact with {', '.join(map(str, counts))} numbers"


def check_type(bench: Bench, name: str) -> str:
    """Run a graph that takes and gives another type than float32."""
    precision = Precision.FP16 if name == "float16" else Precision.FP32
    plan = bench.small_plan(name, precision=precision)
    with open_plan(plan, precision) as backend, open_reference(bench.network(name)) as reference:
        (info,) = backend.description.inputs
        (wanted,) = reference.description.inputs
        size = [length or 1 for length in info.shape]
        numbers = np.random.default_rng(5).integers(0, 200, size)
        outputs = run_copied(backend, {"x": numbers.astype(info.dtype)})
        exact = reference.run({"x": numbers.astype(wanted.dtype)})
        text = require_close(differences(outputs, exact), 0.0)
        return f"{info.dtype} in, {outputs['y'].dtype} out; {text}"


def check_two_threads(bench: Bench) -> str:
    """Load and run a plan in two threads at once."""
    plan, runs = bench.small_plan("affine"), 500

    def work(seed: int) -> float:
        random = np.random.default_rng(seed)
        largest = 0.0
        with open_reference(bench.network("affine")) as reference, open_plan(plan) as backend:
            for _ in range(runs):
                inputs = {"x": random.standard_normal((1, 64)).astype(np.float32)}
                (found,) = differences(backend.run(inputs), reference.run(inputs))
                largest = max(largest, found.relative)
        return largest

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, (6, 7)))
    if max(found) > TOLERANCE[Precision.FP32]:
        raise CheckFailed(f"outputs are off by {found[0]:.1e} and {found[1]:.1e}")
    return f"2 × {runs} runs, off by {max(found):.1e} at most"


def check_leaks(bench: Bench) -> str:
    """Load, run and close a plan again and again, and look at the memory."""
    return require_nothing_left(bench, partial(run_once, bench.good_plan()))


def require_nothing_left(bench: Bench, use: Callable[[], object]) -> str:
    """Do something again and again, and look at the memory.

    Raises
    ------
    CheckFailed
        If it takes more of the GPU's each time.

    """
    with hold_gpu(bench.library) as gpu:
        for _ in range(3):
            use()
        before = free_memory(gpu), resident_mb()
        for _ in range(OPENINGS):
            use()
        after = free_memory(gpu), resident_mb()
    grown = (before[0] - after[0]) / MEGABYTE
    text = (
        f"{OPENINGS} times: GPU memory {grown:+.1f} MB, resident memory "
        f"{after[1] - before[1]:+.1f} MB"
    )
    if grown > LEAK_MB:
        raise CheckFailed(text)
    return text
