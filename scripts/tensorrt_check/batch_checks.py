"""Checks of several pictures in one inference: the demo network, its batch left open."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jetson_detect.core.backends import BackendOptions, BatchOptions, open_file
from jetson_detect.core.model import Format, Interpolation, ModelFile, ModelSpec, Precision
from jetson_detect.core.pixels import Pixels

from .bench import Bench
from .check import CheckFailed
from .comparison import TOLERANCE, differences, require_close, worst
from .network_checks import DISAGREEMENT

SIZES = (1, 2, 4, 8)
"""Pictures of an inference that are timed; the plan is for the first to the last."""
_NETWORK = "demo_batch"
_INPUT = "image"
_ROUNDS = 5
_ORDER = (8, 1, 5, 8, 2, 2, 7, 3)
"""Sizes of batches that follow each other, two of them in flight."""


def check_batch_outputs(bench: Bench, precision: Precision) -> str:
    """Compare raw outputs of batches with those of their pictures one by one."""
    most = SIZES[-1]
    found = []
    file = ModelFile(Format.TENSORRT, _plan(bench, precision), precision)
    with open_file("tensorrt", file, _options()) as backend:
        if backend.description.max_batch != most:
            raise CheckFailed(f"the plan takes {backend.description.max_batch} pictures")
        (info,) = backend.description.inputs
        random = np.random.default_rng(12)
        tensor = random.random((most, *(size or 0 for size in info.shape[1:])), np.float32)
        alone = [
            {name: array.copy() for name, array in backend.run({info.name: picture}).items()}
            for picture in np.split(tensor, most)
        ]
        for size in _ORDER:
            outputs = backend.run({info.name: tensor[:size]})
            for index in range(size):
                of_one = {name: array[index : index + 1] for name, array in outputs.items()}
                found += differences(of_one, alone[index])
    return require_close(worst(found), TOLERANCE[precision])


def check_batch_detections(bench: Bench, precision: Precision) -> str:
    """Compare what is found in scenes of several sizes, two batches in flight, with one by one."""
    from jetson_detect.core.agreement import compare_detections
    from jetson_detect.core.detections import Detections
    from jetson_detect.core.detector import Detector, Finding
    from jetson_detect.core.selection import Selection

    model = _model(bench)
    selection = Selection.from_thresholds(model.thresholds)
    pictures = _scenes(SIZES[-1])
    file = ModelFile(Format.TENSORRT, _plan(bench, precision), precision)
    with Detector(model, open_file("tensorrt", file, _options())) as detector:
        detector.warm_up()
        where = detector.description.details["preprocessing"]
        alone = [detector.detect(picture, selection) for picture in pictures]
        found: list[Finding] = []
        in_flight: deque[int] = deque()
        for size in _ORDER:
            if len(in_flight) == detector.depth:
                found += detector.finish_batch(selection)
                in_flight.popleft()
            detector.start_batch(pictures[:size])
            in_flight.append(size)
        while in_flight:
            found += detector.finish_batch(selection)
            in_flight.popleft()
        depth = detector.depth
    wanted = [each for size in _ORDER for each in alone[:size]]
    together = [each for each in found if isinstance(each, Detections)]
    if len(together) != len(wanted):
        raise CheckFailed(f"{len(together)} of {len(wanted)} pictures were answered")
    agreement = compare_detections(together, wanted, model.thresholds.score)
    apart = agreement.missed + agreement.extra
    text = (
        f"{agreement.matched} matched, {agreement.missed} missed, {agreement.extra} extra; max |Δ| "
        f"boxes {agreement.box_px:.2f} px; preprocessing {where}; {depth} in flight"
    )
    if not agreement.matched or apart > DISAGREEMENT[precision] * (agreement.matched + apart):
        raise CheckFailed(text)
    return text


def check_batch_throughput(bench: Bench, precision: Precision) -> str:
    """Time pictures, from bytes to detections, with batches of several sizes."""
    from jetson_detect.core.detector import Detector
    from jetson_detect.core.selection import Selection

    model = _model(bench)
    selection = Selection.from_thresholds(model.thresholds)
    pictures = _scenes(SIZES[-1])
    file = ModelFile(Format.TENSORRT, _plan(bench, precision), precision)
    rates: dict[int, list[float]] = {size: [] for size in SIZES}
    with Detector(model, open_file("tensorrt", file, _options())) as detector:
        detector.warm_up()
        for _ in range(_ROUNDS):
            for size, of_size in rates.items():
                calls = max(1, bench.runs // size)
                start = time.perf_counter()
                for call in range(calls + detector.depth):
                    if call >= detector.depth:
                        detector.finish_batch(selection)
                    if call < calls:
                        detector.start_batch(pictures[:size])
                of_size.append(calls * size / (time.perf_counter() - start))
    medians = {size: float(np.median(of_size)) for size, of_size in rates.items()}
    return "pictures/s: " + ", ".join(
        f"{rate:.0f} with {size} ({rate / medians[1]:.2f} times)" for size, rate in medians.items()
    )


def _plan(bench: Bench, precision: Precision) -> Path:
    """Return the plan, built in the first call.

    Raises
    ------
    CheckSkipped
        If it cannot be built in this run.

    """
    spec = bench.model("demo").input
    picture = spec.tensor_shape[1:]
    best = SIZES[len(SIZES) // 2]
    profile = tuple((size, *picture) for size in (SIZES[0], best, SIZES[-1]))
    return bench.small_plan(_NETWORK, precision=precision, profiles={_INPUT: profile})


def _model(bench: Bench) -> ModelSpec:
    """Return the demo model with an interpolation that the GPU knows."""
    model = bench.model("demo")
    return replace(model, input=replace(model.input, interpolation=Interpolation.LINEAR))


def _options() -> BackendOptions:
    return BackendOptions(batch=BatchOptions(SIZES[-1]))


def _scenes(count: int) -> Sequence[Pixels]:
    """Draw scenes, each of another size and content."""
    from jetson_detect.core.scenes import SceneSequence

    return [
        Pixels.from_array(
            SceneSequence(seed=30 + index, width=640 - 32 * index, height=480).frame(9).image
        )
        for index in range(count)
    ]
