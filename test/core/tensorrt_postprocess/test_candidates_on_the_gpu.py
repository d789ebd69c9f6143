"""Candidates that the tensorrt backend tells apart, on the simulated GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jetson_detect.core.backends import BackendError, BackendOptions, TensorrtOptions
from jetson_detect.core.backends.base import (
    BatchOptions,
    Postprocessing,
    Preprocessing,
    SievingBackend,
)
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.backends.tensorrt.output_sieve import _REST, CAPACITY
from jetson_detect.core.detections import Detections
from jetson_detect.core.detector import Detector
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

WIDTH, HEIGHT = 48, 32
NUMBERS = 3 * WIDTH * HEIGHT
SELECTION = Selection(score_threshold=0.8, max_detections=1000, iou_threshold=1.0)
FIRST = 2
"""Launches that prepare the two slots."""
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16

YOLO = {"predictions": (8, NUMBERS // 8)}
"""576 candidates: a box and four classes, by column."""
OTHER = Sieve("predictions", 8, 4, 3)
"""One that looks at three of the four."""
SSD = {"boxes": (NUMBERS // 8, 4), "scores": (NUMBERS // 8, 4)}


def network(parts: dict[str, tuple[int, int]], kind: int = FLOAT, batch: int | str = 1) -> bytes:
    """Make a network whose outputs are the picture, cut into pieces and rows."""
    helper = onnx.helper
    sizes = [rows * columns for rows, columns in parts.values()]
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["row"]),
        helper.make_node("Split", ["row", "sizes"], [f"{name}_row" for name in parts], axis=1),
    ]
    for name in parts:
        cast = f"{name}_wide" if kind != FLOAT else name
        nodes.append(helper.make_node("Reshape", [f"{name}_row", f"{name}_shape"], [cast]))
        if kind != FLOAT:
            nodes.append(helper.make_node("Cast", [cast], [name], to=kind))
    constants = {"flat": [-1 if batch == "n" else batch, NUMBERS], "sizes": sizes}
    constants |= {f"{name}_shape": [-1, *shape] for name, shape in parts.items()}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", FLOAT, [batch, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info(part, kind, [batch, *parts[part]]) for part in parts],
        [
            onnx.numpy_helper.from_array(np.array(value, np.int64), name)
            for name, value in constants.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def picture(seed: int = 0, power: int = 3) -> Pixels:
    """Random colours of the input's size; the higher the power, the fewer of them are bright."""
    random = np.random.default_rng(seed)
    image = (random.uniform(0, 1, (HEIGHT, WIDTH, 3)) ** power * 255).astype(np.uint8)
    return Pixels.from_array(image)


@pytest.fixture(autouse=True)
def _compiler(sieve_kernel) -> None:
    """Skip where there is none: the simulated GPU runs the kernel compiled for the CPU."""


@pytest.fixture
def detector_on(gpu, tmp_path: Path) -> Iterator[Callable[..., Detector]]:
    """Make ``detector_on(postprocessing, parts, kind, batch=, profiles=, **options)``."""
    with ExitStack() as stack:

        def make(
            postprocessing: Postprocessing = Postprocessing.AUTO,
            parts: dict[str, tuple[int, int]] = YOLO,
            kind: int = FLOAT,
            batch: int | str = 1,
            profiles: list[dict[str, Any]] | None = None,
            **options: Any,
        ) -> Detector:
            document = {
                "name": "made up",
                "license": "Apache-2.0",
                "files": [{"format": "tensorrt", "path": "model.plan"}],
                "input": {
                    "width": WIDTH,
                    "height": HEIGHT,
                    "layout": "NCHW",
                    "color_order": "RGB",
                    "scale": [1 / 255] * 3,
                },
                "head": {
                    "type": "yolov8" if parts == YOLO else "ssd",
                    "outputs": {part: part for part in parts},
                    **({"decoded": True, "activation": "none"} if parts == SSD else {}),
                },
                "labels": list("abcd"),
                "thresholds": {"score": 0.8},
            }
            path = gpu.plan(network(parts, kind, batch), profiles=profiles)
            (tmp_path / "model.yaml").write_text(yaml.safe_dump(document))
            model = load_model(tmp_path)
            all_options = BackendOptions(
                tensorrt=TensorrtOptions(postprocessing=postprocessing, **options),
                batch=BatchOptions(max_size=3),
            )
            backend = TensorrtBackend(ModelFile(Format.TENSORRT, path), all_options)
            return stack.enter_context(Detector(model, backend))

        yield make


def where(detector: Detector) -> str:
    return detector.description.details["postprocessing"]


def same(one: Detections, other: Detections) -> bool:
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.class_ids, other.class_ids)
    return len(one) > 0


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("preprocessing", [Preprocessing.GPU, Preprocessing.CPU])
@pytest.mark.parametrize("kind", [FLOAT, HALF], ids=["float", "half"])
@pytest.mark.parametrize("parts", [YOLO, SSD], ids=["yolo", "ssd"])
def test_the_same_is_detected_as_when_all_outputs_are_read(
    machine, gpu, detector_on, parts, kind, preprocessing, cuda_graph
):
    options = {"preprocessing": preprocessing, "cuda_graph": cuda_graph}
    plain = detector_on(Postprocessing.CPU, parts, kind, **options)
    wanted = [plain.detect(picture(seed), SELECTION) for seed in range(5)]
    assert where(plain) == "CPU (tensorrt.postprocessing)"
    assert not gpu.machine.launches["sieve"]
    detector = detector_on(Postprocessing.AUTO, parts, kind, **options)
    assert where(detector) == "GPU"
    for seed, detections in enumerate(wanted):
        assert same(detector.detect(picture(seed), SELECTION), detections)
    assert gpu.machine.launches["sieve"] == FIRST + 5
    for seed in (0, 1):  # two in flight
        detector.start(picture(seed))
    for seed in range(2, 5):
        assert same(detector.finish(SELECTION), wanted[seed - 2])
        detector.start(picture(seed))
    assert same(detector.finish(SELECTION), wanted[3])
    assert same(detector.finish(SELECTION), wanted[4])
    detector.close()
    plain.close()
    assert gpu.machine.leaks() == []


def test_only_rows_that_passed_leave_the_gpu(gpu):
    options = BackendOptions(tensorrt=TensorrtOptions(postprocessing=Postprocessing.AUTO))
    path = gpu.plan(network(YOLO))
    tensor = np.random.default_rng(1).uniform(0, 1, (1, 3, HEIGHT, WIDTH)).astype(np.float32) ** 3
    with TensorrtBackend(ModelFile(Format.TENSORRT, path), options) as backend:
        assert isinstance(backend, SievingBackend)
        candidates = backend.sieve(Sieve("predictions", 8, 4, 4))
        assert candidates is not None
        whole = backend.run({"image": tensor})["predictions"].copy()
        assert candidates.candidates(0.8) is None
        candidates.aim(0.8)
        backend.start({"image": tensor})
        array = backend.finish()["predictions"]
        array[...] = 77
        assert backend.depth == 2
        for _ in range(2):  # the other one of two, then this one
            candidates.aim(0.8)
            backend.start({"image": tensor})
            outputs = backend.finish()["predictions"]
        assert outputs is array
        passed = (whole[0, 4:] >= 0.8).any(axis=0)
        (found,) = candidates.candidates(0.8) or ()
        np.testing.assert_array_equal(found, np.flatnonzero(passed))
        np.testing.assert_array_equal(array[0][:, passed], whole[0][:, passed])
        assert (array[0][:, ~passed] == 77).all()
        # What was aimed higher than is asked now is read after all.
        assert candidates.candidates(0.7) is None
        np.testing.assert_array_equal(array, whole)
        # It holds for one inference.
        backend.start({"image": tensor})
        np.testing.assert_array_equal(backend.finish()["predictions"], whole)
        assert candidates.candidates(0.8) is None
    assert gpu.machine.leaks() == []


OPEN = {
    "batch": "n",
    "profiles": [{"image": [[size, 3, HEIGHT, WIDTH] for size in (1, 2, 3)]}],
}


@pytest.mark.parametrize("options", [{"batch": 3}, OPEN], ids=["one size", "open"])
def test_each_picture_of_a_batch_has_its_own_candidates(machine, gpu, detector_on, options):
    plain = detector_on(Postprocessing.CPU, **options)
    detector = detector_on(Postprocessing.AUTO, **options)
    assert where(detector) == "GPU"
    for count in (3, 1, 2):
        pictures = [picture(seed) for seed in range(count)]
        for each in (plain, detector):
            each.start_batch(pictures)
        pairs = zip(plain.finish_batch(SELECTION), detector.finish_batch(SELECTION))
        for wanted, found in pairs:
            assert same(found, wanted)
    assert gpu.machine.launches["sieve"] == FIRST + 3


def test_two_detectors_may_share_a_backend(machine, gpu, detector_on):
    wanted = [detector_on(Postprocessing.CPU).detect(picture(n), SELECTION) for n in range(4)]
    first = detector_on()
    second = Detector(first.model, first._backend)
    for number, detections in enumerate(wanted):
        detector = (first, second)[number % 2]
        assert same(detector.detect(picture(number), SELECTION), detections)
    assert gpu.machine.launches["sieve"] == FIRST + 4


def test_of_two_ways_to_tell_candidates_the_last_is_in_force(machine, gpu, detector_on):
    wanted = detector_on(Postprocessing.CPU).detect(picture(), SELECTION)
    first = detector_on()
    first.detect(picture(1), SELECTION)  # of which nothing may be left in the next answer
    first._backend.sieve(OTHER)
    before = gpu.machine.launches["sieve"]
    assert same(first.detect(picture(), SELECTION), wanted)
    assert gpu.machine.launches["sieve"] == before
    second = Detector(first.model, first._backend)
    before = gpu.machine.launches["sieve"]
    assert same(second.detect(picture(), SELECTION), wanted)
    assert gpu.machine.launches["sieve"] == before + 1


def test_a_detector_that_comes_after_small_batches_takes_large_ones(machine, gpu, detector_on):
    pictures = [picture(seed) for seed in range(3)]
    first = detector_on(**OPEN)
    first.start_batch(pictures[:1])
    first.finish_batch(SELECTION)
    first._backend.sieve(OTHER)
    second = Detector(first.model, first._backend)
    plain = detector_on(Postprocessing.CPU, **OPEN)
    for _ in range(2):  # in one place and in the other
        for each in (plain, second):
            each.start_batch(pictures)
        for wanted, found in zip(plain.finish_batch(SELECTION), second.finish_batch(SELECTION)):
            assert same(found, wanted)


def test_a_lower_threshold_than_at_the_start_reads_everything_once(machine, gpu, detector_on):
    lower = Selection(score_threshold=0.6, max_detections=1000, iou_threshold=1.0)
    plain, detector = detector_on(Postprocessing.CPU), detector_on()
    assert same(detector.detect(picture(), SELECTION), plain.detect(picture(), SELECTION))
    wanted = plain.detect(picture(), lower)
    for _ in range(3):
        assert same(detector.detect(picture(), lower), wanted)
    assert len(wanted) > len(plain.detect(picture(), SELECTION))
    assert gpu.machine.launches["sieve"] == FIRST + 4


def test_more_candidates_than_there_is_room_for_are_read_from_the_outputs(
    machine, gpu, detector_on
):
    low = Selection(score_threshold=0.001, max_detections=1000, iou_threshold=1.0)
    plain, detector = detector_on(Postprocessing.CPU), detector_on()
    bright = picture(power=1)
    wanted = plain.detect(bright, low)
    assert len(wanted) > CAPACITY
    for _ in range(_REST + 3):
        assert same(detector.detect(bright, low), wanted)
    # The first finds out of the threshold, the second of their number; then one try.
    assert gpu.machine.launches["sieve"] == FIRST + 3


def test_numbers_that_are_not_finite_are_told_as_ever(machine, gpu, detector_on):
    detector, plain = detector_on(), detector_on(Postprocessing.CPU)
    wanted = plain.detect(picture(), SELECTION)
    gpu.faults(nan_at=gpu.machine.executions + 1)
    with pytest.raises(BackendError, match=r"output 'predictions' has \d+ of 4608 numbers that"):
        detector.detect(picture(), SELECTION)
    gpu.faults()
    assert same(detector.detect(picture(), SELECTION), wanted)


def test_what_the_gpu_cannot_tell_apart_stays_with_the_cpu(gpu, detector_on):
    gpu.machine.compiles_kernels = False
    wanted = detector_on(Postprocessing.CPU).detect(picture(), SELECTION)
    detector = detector_on()
    assert where(detector).startswith("CPU (cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU")
    assert same(detector.detect(picture(), SELECTION), wanted)


REASONS = {
    "no such output": (Sieve("x", 8, 4, 4), "the shape of output 'x' is not known before"),
    "another shape": (Sieve("predictions", 7, 4, 3), "is 1x8x576, not 7 numbers for each"),
    "three outputs": (Sieve("predictions", 8, 4, 4, others={"b": 4, "c": 4}), "3 outputs; the GPU"),
}


@pytest.mark.parametrize(("sieve", "reason"), REASONS.values(), ids=REASONS)
def test_the_reason_for_the_cpu_is_told(gpu, sieve, reason):
    options = BackendOptions(tensorrt=TensorrtOptions(postprocessing=Postprocessing.AUTO))
    path = gpu.plan(network(YOLO))
    with TensorrtBackend(ModelFile(Format.TENSORRT, path), options) as backend:
        assert backend.sieve(sieve) is None
        assert reason in backend.description.details["postprocessing"]


def test_numbers_that_the_kernel_does_not_know_are_told(gpu):
    options = BackendOptions(tensorrt=TensorrtOptions(postprocessing=Postprocessing.AUTO))
    path = gpu.plan(network(YOLO, onnx.TensorProto.INT32))
    with TensorrtBackend(ModelFile(Format.TENSORRT, path), options) as backend:
        assert backend.sieve(Sieve("predictions", 8, 4, 4)) is None
        reason = backend.description.details["postprocessing"]
        assert reason == "CPU (output 'predictions' is int32; the GPU reads float and half)"


def test_a_second_frame_without_memory_for_its_candidates_means_that_all_outputs_are_copied(
    gpu, detector_on
):
    def work() -> tuple[str, Detections]:
        with detector_on(preprocessing=Preprocessing.CPU) as detector:
            detector.start(picture(0))
            detector.start(picture(1))
            detector.finish(SELECTION)
            return where(detector), detector.finish(SELECTION)

    gpu.machine.calls.clear()
    _, wanted = work()
    second = [i for i, call in enumerate(gpu.machine.calls) if call == "cuMemHostAlloc"][-1]
    gpu.machine.calls.clear()
    gpu.machine.fail_call = second
    place, found = work()
    assert place.startswith("CPU (tensor 'limit of candidates' needs")
    assert same(found, wanted)


def test_whatever_call_fails_nothing_stays_behind(gpu, detector_on):
    def work() -> list[Detections]:
        # Pictures as the CPU makes them: off by nothing where the GPU cannot.
        with detector_on(preprocessing=Preprocessing.CPU) as detector:
            found = [detector.detect(picture(seed), SELECTION) for seed in range(2)]
            detector.start(picture(0))
            detector.start(picture(1))
            return found + [detector.finish(SELECTION) for _ in range(2)]

    wanted = work()
    gpu.machine.calls.clear()
    work()
    calls = list(gpu.machine.calls)
    assert {"cuMemsetD32Async", "cuLaunchKernel"} <= set(calls)
    worked = []
    for number, call in enumerate(calls[:-1]):
        gpu.machine.calls.clear()
        gpu.machine.fail_call = number
        with suppress(BackendError):
            for found, expected in zip(work(), wanted):
                assert same(found, expected)
            worked.append(call)
        gpu.machine.fail_call = None
        assert gpu.machine.leaks() == [], f"call {number}: {call}"
    # Graphs, the kernel, a second frame in flight: all of it can be done without.
    assert {"cuModuleLoadData", "cuStreamBeginCapture", "cuMemAlloc"} <= set(worked)
    assert len(worked) < len(calls)
