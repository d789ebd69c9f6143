"""Checks of what the backend adds to the engine alone: copies, pictures, two in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends import TensorrtOptions
from jetson_detect.core.backends.base import PicturePreprocessor
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.backends.tensorrt.frame_slot import FrameSlot
from jetson_detect.core.backends.tensorrt.plan_tensors import read_tensors
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.model import Interpolation, ModelSpec, Precision
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

from .bench import Bench
from .check import CheckFailed, CheckSkipped
from .comparison import difference
from .feature_checks import require_nothing_left
from .picture_checks import FULL_HD
from .running import Tensors, open_plan
from .subjects import Subject

if TYPE_CHECKING:
    import tensorrt as trt

ROUNDS = 5
"""Measurements of each way, one way after the other in each round; the median counts."""
ROUNDING = {Precision.FP32: 0.05, Precision.FP16: 0.1}
"""What one step of 255 in some pixels may do to outputs, as a share of their largest value."""

PICTURES = 3
"""More than are in flight: each place gets another picture than the last time."""

Loop = Callable[[int], None]
"""Infers so many times."""


def check_pipeline(bench: Bench, subject: Subject, precision: Precision) -> str:
    """Compare ways to infer: the engine alone, tensors, 1080p pictures; one or two in flight."""
    plan = bench.plan(subject.name, precision)
    if subject.sizes:
        raise CheckSkipped("the size of its input is open")
    pictures, model = _full_hd_pictures(), _linear_model(bench, subject.name)
    with (
        _bare_loops(bench, plan) as bare,
        _backend(plan, precision) as backend,
        _backend(plan, precision) as keeping,
        _backend(plan, precision, cuda_graph=False) as unrecorded,
    ):
        _keep(keeping, model, pictures)
        for each in (backend, keeping, unrecorded):
            _require_same_answer(each, model, pictures, precision)
        loops = {**bare, **_tensor_loops(backend), **_picture_loops(backend, model, pictures)}
        kept = _picture_loops(keeping, model, pictures)
        loops["kept pictures, two in flight"] = kept["pictures, two in flight"]
        medians = _interleaved(loops, max(bench.runs // ROUNDS, 2))
    reference = medians["engine and copies"]
    return "; ".join(f"{name} {ms:.3f} ms ({reference / ms:.2f})" for name, ms in medians.items())


def check_leaks_in_flight(bench: Bench) -> str:
    """Load the demo model's plan, close it with pictures in flight, and look at the memory."""
    built = [each for each in Precision if bench.has(bench.plan_path("demo", each))]
    if not built:
        raise CheckSkipped("no plan of the demo model was built in this run")
    plan = bench.plan("demo", built[0])
    model, pictures = _linear_model(bench, "demo"), _full_hd_pictures()

    def use() -> None:
        with _backend(plan, built[0]) as backend:
            _start_all(backend, model, pictures)

    return require_nothing_left(bench, use)


def _start_all(backend: TensorrtBackend, model: ModelSpec, pictures: NDArray[np.uint8]) -> None:
    """Put as many pictures in flight as the backend takes, one of them from kept memory."""
    _keep(backend, model, pictures[0])
    preprocess = _preprocessor(backend, model)
    for picture in pictures[: backend.depth]:
        preprocess(Pixels.from_array(picture))
        backend.start({})


def _full_hd_pictures() -> NDArray[np.uint8]:
    width, height = FULL_HD
    shape = (PICTURES, height, width, 3)
    return np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)


def _linear_model(bench: Bench, name: str) -> ModelSpec:
    """Return a model with the interpolation that the GPU knows: what is checked is the way."""
    model = bench.model(name)
    return replace(model, input=replace(model.input, interpolation=Interpolation.LINEAR))


def _backend(plan: Path, precision: Precision, **options: Any) -> TensorrtBackend:
    backend = open_plan(plan, precision, **options)
    assert isinstance(backend, TensorrtBackend)
    return backend


def _interleaved(loops: Mapping[str, Loop], runs: int) -> dict[str, float]:
    """Time each loop once in each round; return the medians in ms for one inference."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(2)
    for _ in range(ROUNDS):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop(runs)
            times[name].append((time.perf_counter() - start) / runs * 1e3)
    return {name: float(np.median(each)) for name, each in times.items()}


@contextmanager
def _bare_loops(bench: Bench, plan: Path) -> Iterator[dict[str, Loop]]:
    """Load a plan with as little of the project around it as can be; shapes must be fixed."""
    options = TensorrtOptions()
    with (
        closing(Session(bench.library, options, plan)) as session,
        session.in_context("failed"),
    ):
        slot = FrameSlot(session, read_tensors(bench.library, session.engine, plan))
        execution: trt.IExecutionContext = session.execution
        for name, binding in (*slot.inputs.items(), *slot.outputs.items()):
            binding.reserve(tuple(int(size) for size in execution.get_tensor_shape(name)))
            binding.stored.fill(0)
            execution.set_tensor_address(name, binding.memory.address)

        def enqueue() -> None:
            if not execution.execute_async_v3(slot.lane.stream.handle):
                raise CheckFailed("the engine cannot be enqueued")

        slot.copy_in()
        enqueue()
        slot.lane.end()
        slot.wait()
        graph = slot.lane.record(enqueue)

        def run(count: int, copies: bool) -> None:
            with session.in_context("failed"):
                for _ in range(count):
                    if copies:
                        slot.copy_in()
                    graph.launch()
                    if copies:
                        slot.copy_out()
                slot.lane.end()
                slot.wait()

        yield {
            "engine": partial(run, copies=False),
            "engine and copies": partial(run, copies=True),
        }


def _tensor_loops(backend: TensorrtBackend) -> dict[str, Loop]:
    """Return loops over tensors that are in the backend's memory already."""

    def run(count: int) -> None:
        for _ in range(count):
            backend.run(backend.input_arrays)

    def start_and_finish(count: int) -> None:
        _in_flight(backend, count, lambda _: backend.input_arrays)

    return {"tensors": run, "tensors, two in flight": start_and_finish}


def _preprocessor(backend: TensorrtBackend, model: ModelSpec) -> PicturePreprocessor:
    """Return what prepares pictures on the GPU.

    Raises
    ------
    CheckFailed
        If the CPU has to.

    """
    (info,) = backend.description.inputs
    preprocess = backend.preprocessor(info.name, model.input)
    if preprocess is None:
        raise CheckFailed(f"preprocessing: {backend.description.details['preprocessing']}")
    return preprocess


def _keep(backend: TensorrtBackend, model: ModelSpec, pictures: NDArray[np.uint8]) -> None:
    """Page-lock the memory of pictures.

    Raises
    ------
    CheckFailed
        If that is refused.

    """
    if not _preprocessor(backend, model).keep(pictures):
        raise CheckFailed("memory of pictures cannot be page-locked")


def _picture_loops(
    backend: TensorrtBackend, model: ModelSpec, pictures: NDArray[np.uint8]
) -> dict[str, Loop]:
    """Return loops over pictures in turn."""
    preprocess = _preprocessor(backend, model)
    views = [Pixels.from_array(picture) for picture in pictures]

    def prepared(index: int) -> dict[str, NDArray[Any]]:
        preprocess(views[index % len(views)])
        return {}

    def run(count: int) -> None:
        for index in range(count):
            backend.run(prepared(index))

    def start_and_finish(count: int) -> None:
        _in_flight(backend, count, prepared)

    return {"pictures": run, "pictures, two in flight": start_and_finish}


def _in_flight(
    backend: TensorrtBackend,
    count: int,
    inputs: Callable[[int], Mapping[str, NDArray[Any]]],
) -> None:
    """Infer with as many in flight as the backend takes."""
    flying = 0
    for index in range(count):
        if flying == backend.depth:
            backend.finish()
            flying -= 1
        backend.start(inputs(index))
        flying += 1
    for _ in range(flying):
        backend.finish()


def _require_same_answer(
    backend: TensorrtBackend, model: ModelSpec, pictures: NDArray[np.uint8], precision: Precision
) -> None:
    """Compare outputs for pictures that the CPU prepared with those of the other ways.

    Raises
    ------
    CheckFailed
        If they differ by more than a rounding of pixels explains.

    """
    (info,) = backend.description.inputs
    on_cpu, on_gpu = Preprocessor(model.input, info), _preprocessor(backend, model)
    views = [Pixels.from_array(picture) for picture in pictures]
    tensors = [on_cpu(pixels)[0].copy() for pixels in views]
    expected = [_copied(backend.run({info.name: tensor})) for tensor in tensors]
    for pixels, wanted in zip(views, expected):
        on_gpu(pixels)
        _require_close(backend.run({}), wanted, precision)
    flying: deque[Tensors] = deque()
    for number in range(8 * len(views)):
        index = number % len(views)
        if len(flying) == backend.depth:
            _require_close(backend.finish(), flying.popleft(), precision)
        if number < 4 * len(views):
            on_gpu(views[index])
            backend.start({})
        else:
            backend.start({info.name: tensors[index]})
        flying.append(expected[index])
    for wanted in flying:
        _require_close(backend.finish(), wanted, precision)


def _copied(outputs: Tensors) -> Tensors:
    return {name: output.copy() for name, output in outputs.items()}


def _require_close(outputs: Tensors, expected: Tensors, precision: Precision) -> None:
    for name, found in outputs.items():
        off = difference(name, found, expected[name])
        if not off.relative <= ROUNDING[precision]:
            raise CheckFailed(f"pictures prepared by GPU and CPU: {off}")
