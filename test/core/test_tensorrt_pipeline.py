"""Two inferences in flight, on the simulated GPU."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jetson_detect.core.backends import BackendError, BackendOptions, TensorrtOptions
from jetson_detect.core.backends.base import PipelinedBackend
from jetson_detect.core.backends.pipelining import pipelined
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.model import ColorOrder, Format, InputSpec, Layout, ModelFile
from jetson_detect.core.pixels import Pixels

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

SHAPE = (1, 4, 6, 3)
SPEC = InputSpec(6, 4, Layout.NHWC, ColorOrder.BGR, mean=(0.0,) * 3, scale=(1.0,) * 3)


def network(node: str = "Add", shape: tuple[int | str, ...] = SHAPE) -> bytes:
    """Make a network that doubles its input, or finds what is not zero there."""
    helper = onnx.helper
    whole, number = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    output = ("y", number, shape) if node == "Add" else ("y", whole, [len(shape), "n"])
    graph = helper.make_graph(
        [helper.make_node(node, ["x", "x"] if node == "Add" else ["x"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", number, shape)],
        [helper.make_tensor_value_info(*output)],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def load(path: Path, **options: object) -> TensorrtBackend:
    return TensorrtBackend(
        ModelFile(Format.TENSORRT, path), BackendOptions(tensorrt=TensorrtOptions(**options))
    )


def all_of(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full(SHAPE, value, np.float32)}


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_results_come_in_the_order_of_the_starts_and_stay_until_the_next_but_one(
    machine, gpu, cuda_graph
):
    with load(gpu.plan(network()), cuda_graph=cuda_graph) as backend:
        assert isinstance(backend, PipelinedBackend)
        assert backend.depth == 2
        assert pipelined(backend) is backend
        backend.start(all_of(1))
        for value in range(2, 8):
            backend.start(all_of(value))
            before = backend.finish()["y"]
            assert (before == 2 * (value - 1)).all()
        after = backend.finish()["y"]
        assert (after == 14).all()
        assert (before == 12).all()
        assert (backend.run(all_of(9))["y"] == 18).all()
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_an_inference_waits_for_the_one_before_it_however_its_copies_overtake(gpu, cuda_graph):
    with load(gpu.plan(network()), cuda_graph=cuda_graph) as backend:
        for value in (1, 3, 5):
            backend.start(all_of(value))
            backend.start(all_of(value + 1))
            for stream in reversed(gpu.machine.streams.values()):
                stream.flush()
            assert (backend.finish()["y"] == 2 * value).all()
            assert (backend.finish()["y"] == 2 * value + 2).all()
    assert gpu.machine.complaints == []


def test_frames_in_flight_allocate_nothing_once_the_second_was_started(machine, gpu):
    with load(gpu.plan(network())) as backend:
        blocks = len(gpu.machine.blocks)
        backend.run(all_of(1))
        assert len(gpu.machine.blocks) == blocks  # nothing for what is not used
        backend.start(all_of(1))
        backend.start(all_of(1))
        calls = len(gpu.machine.calls)
        for _ in range(4):
            backend.finish()
            backend.start(all_of(1))
        assert not [call for call in gpu.machine.calls[calls:] if "Alloc" in call]


def test_inputs_filled_in_place_are_those_of_the_next_start(machine, gpu, monkeypatch):
    with load(gpu.plan(network())) as backend:
        backend.start(all_of(0))
        monkeypatch.delattr(np, "copyto")
        arrays = []
        for value in (1.0, 2.0, 3.0):
            arrays.append(backend.input_arrays["x"])
            arrays[-1].fill(value)
            backend.start({"x": arrays[-1]})
            assert (backend.finish()["y"] == 2 * value - 2).all()
        assert arrays[0] is not arrays[1]
        assert arrays[0] is arrays[2]


def test_more_than_two_a_run_between_and_a_result_too_many_are_refused(gpu):
    with load(gpu.plan(network())) as backend:
        with pytest.raises(BackendError, match="no inference was started: call start"):
            backend.finish()
        backend.start(all_of(1))
        with pytest.raises(BackendError, match=r"1 inferences were started: finish\(\) them"):
            backend.run(all_of(5))
        backend.start(all_of(2))
        with pytest.raises(BackendError, match="2 inferences are in flight, no more fit: finish"):
            backend.start(all_of(3))
        assert [backend.finish()["y"].max() for _ in range(2)] == [2, 4]
        assert (backend.run(all_of(5))["y"] == 10).all()


@pytest.mark.parametrize(
    ("node", "shape", "profiles"),
    [
        ("NonZero", SHAPE, None),
        ("Add", ("n", 4, 6, 3), [{"x": [[1, 4, 6, 3]] * 2 + [[2, 4, 6, 3]]}]),
    ],
    ids=["growing", "dynamic"],
)
def test_a_plan_whose_shapes_change_takes_one_at_a_time(gpu, node, shape, profiles):
    options = {} if profiles is None else {"profiles": profiles}
    with load(gpu.plan(network(node, shape), **options)) as backend:
        assert backend.depth == 1
        for value in (1, 2):
            backend.start(all_of(value))
            with pytest.raises(BackendError, match="1 inferences are in flight"):
                backend.start(all_of(value))
            found = backend.finish()["y"]
            assert (found == 2 * value).all() if node == "Add" else found.shape == (4, 72)
    assert gpu.machine.leaks() == []


def test_without_memory_for_two_there_is_one_at_a_time(gpu, caplog):
    with load(gpu.plan(network())) as backend:
        gpu.machine.total_memory = gpu.machine.used_memory + 16
        before = held(gpu.machine)
        backend.start(all_of(1))
        assert backend.depth == 1
        assert "one inference at a time" in caplog.text
        assert held(gpu.machine) == before
        assert (backend.finish()["y"] == 2).all()
        backend.start(all_of(3))
        assert (backend.finish()["y"] == 6).all()
    assert gpu.machine.leaks() == []


def test_pictures_are_prepared_while_another_is_inferred(machine, gpu, kernel):
    pictures = [
        Pixels.from_array(np.full((4, 6, 3), value, np.uint8)) for value in (10, 20, 30, 40)
    ]
    with load(gpu.plan(network())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        preprocess(pictures[0])
        backend.start({})
        for index in (1, 2, 3):
            preprocess(pictures[index])
            backend.start({})
            with pytest.raises(BackendError, match="in flight"):
                preprocess(pictures[0])
            assert (backend.finish()["y"] == 20 * index).all()
        assert (backend.finish()["y"] == 80).all()
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_start_that_fails_costs_one_frame(gpu, cuda_graph):
    with load(gpu.plan(network()), cuda_graph=cuda_graph) as backend:
        backend.start(all_of(1))
        gpu.faults(fail_at=1)
        with pytest.raises(BackendError, match="inference failed"):
            backend.start(all_of(2))
        gpu.faults()
        assert (backend.finish()["y"] == 2).all()
        backend.start(all_of(3))
        assert (backend.finish()["y"] == 6).all()
    assert gpu.machine.leaks() == []


def held(machine) -> tuple[int, int, int]:
    return len(machine.blocks), len(machine.streams), machine.events


def test_a_second_place_that_cannot_infer_is_given_back_at_once(machine, gpu):
    with load(gpu.plan(network())) as backend:
        before = held(machine)
        gpu.faults(fail_at=1)
        for _ in range(2):
            with pytest.raises(BackendError, match="inference failed"):
                backend.start(all_of(1))
            assert held(machine) == before
        gpu.faults()
        backend.start(all_of(1))
        assert (backend.finish()["y"] == 2).all()
    assert gpu.machine.leaks() == []


def test_whatever_fails_in_flight_leaves_nothing_behind(gpu):
    plan = gpu.plan(network())

    def use() -> None:
        with load(plan) as backend:
            backend.start(all_of(1))
            backend.start(all_of(2))
            assert (backend.finish()["y"] == 2).all()

    use()
    calls = list(gpu.machine.calls)
    assert "cuStreamWaitEvent" in calls
    for number, call in enumerate(calls[:-1]):
        gpu.use(gpu.version)
        gpu.machine.fail_call = number
        with suppress(BackendError):
            use()
        assert gpu.machine.leaks() == [], f"{number} {call}"


def test_a_backend_is_closed_with_inferences_in_flight(gpu):
    backend = load(gpu.plan(network()))
    backend.start(all_of(1))
    backend.start(all_of(2))
    backend.close()
    with pytest.raises(BackendError, match="was closed"):
        backend.start(all_of(1))
    with pytest.raises(BackendError, match="no inference was started"):
        backend.finish()
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("spin", [False, True])
def test_a_thread_sleeps_while_it_waits_unless_it_is_to_spin(gpu, spin):
    with load(gpu.plan(network()), spin=spin) as backend:
        backend.run(all_of(1))
    assert gpu.machine.blocking_waits == {not spin}


# Backends that cannot


class Plain:
    """A backend that doubles its input."""

    def __init__(self):
        self.closed = False
        self.input_arrays = {"x": np.zeros(2, np.float32)}
        self.description = SimpleNamespace(file=SimpleNamespace(path="model.tflite"))

    def run(self, inputs):
        return {"y": inputs["x"] * 2}

    def close(self):
        self.closed = True


def test_any_backend_can_be_started_and_finished_one_at_a_time():
    plain = Plain()
    with pipelined(plain) as backend:
        assert isinstance(backend, PipelinedBackend)
        assert backend.depth == 1
        assert backend.input_arrays is plain.input_arrays
        assert backend.description is plain.description
        backend.start({"x": np.array([3.0])})
        with pytest.raises(BackendError, match=r"model.tflite: .*finish\(\) it before the next"):
            backend.start({"x": np.array([4.0])})
        with pytest.raises(BackendError, match=r"model.tflite: .*finish\(\) it before run"):
            backend.run({"x": np.array([4.0])})
        assert backend.finish()["y"] == [6.0]
        with pytest.raises(BackendError, match=r"model.tflite: no inference was started"):
            backend.finish()
        assert backend.run({"x": np.array([4.0])})["y"] == [8.0]
    assert plain.closed
