from __future__ import annotations

import gc
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends import (
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    TensorrtOptions,
    TensorrtRuntime,
)
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.backends.tensorrt.profiles import Profile, ShapeRange, choose_profile
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.share import find_model

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

VERSIONS = ["8.5.3.1", "8.6.0", "10.3.0", "11.4.0.106"]
DEMO = load_model(find_model("demo")).files_for([Format.ONNX])[0].path
PICTURE = np.random.default_rng(0).random((1, 160, 160, 3), dtype=np.float32)
FLOAT = onnx.TensorProto.FLOAT


def network(
    nodes: list[tuple[str, list[str], list[str]]],
    inputs: dict[str, tuple[int, list[int | str]]],
    outputs: dict[str, tuple[int, list[int | str]]],
) -> bytes:
    """Make an ONNX model; a size that is text is open."""
    values = [
        [onnx.helper.make_tensor_value_info(name, *spec) for name, spec in part.items()]
        for part in (inputs, outputs)
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(*node) for node in nodes], "network", *values
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    return model.SerializeToString()


def doubling(kind: int = FLOAT, shape: tuple[int | str, ...] = (2, 3)) -> bytes:
    return network(
        [("Add", ["x", "x"], ["y"])], {"x": (kind, list(shape))}, {"y": (kind, list(shape))}
    )


def positions() -> bytes:
    """An output with as many columns as the input has numbers that are not zero."""
    return network(
        [("NonZero", ["x"], ["where"]), ("Add", ["x", "x"], ["y"])],
        {"x": (FLOAT, [8])},
        {"where": (onnx.TensorProto.INT64, [1, "n"]), "y": (FLOAT, [8])},
    )


PROFILES = [
    {"x": [[1, 3], [1, 3], [4, 3]]},
    {"x": [[5, 3], [8, 3], [16, 3]]},
]


def load(path: Path, **options: object) -> TensorrtBackend:
    return TensorrtBackend(
        ModelFile(Format.TENSORRT, path), BackendOptions(tensorrt=TensorrtOptions(**options))
    )


def zeros() -> dict[str, np.ndarray]:
    return {"x": np.zeros((2, 3), np.float32)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_outputs_are_those_of_onnx_runtime(gpu, version, integrated, cuda_graph):
    gpu.use(version)
    gpu.machine.integrated = integrated
    names = ["heatmap", "offset", "size"]
    session = onnxruntime.InferenceSession(str(DEMO), providers=["CPUExecutionProvider"])
    with load(gpu.plan(DEMO), cuda_graph=cuda_graph) as backend:
        for picture in (PICTURE, PICTURE[:, ::-1]):
            outputs = backend.run({"image": picture})
            for name, expected in zip(names, session.run(names, {"image": picture})):
                np.testing.assert_array_equal(outputs[name], expected)
    assert gpu.machine.leaks() == []


def test_the_description_says_what_runs_and_how(gpu):
    with load(gpu.plan(DEMO)) as backend:
        description = backend.description
    assert [(info.name, info.shape) for info in description.inputs] == [("image", (1, 160, 160, 3))]
    assert {info.name: info.shape for info in description.outputs} == {
        "heatmap": (1, 40, 40, 6),
        "offset": (1, 40, 40, 2),
        "size": (1, 40, 40, 2),
    }
    assert {info.dtype for info in description.outputs} == {np.dtype(np.float32)}
    assert description.runtime == "TensorRT 10.3.0"
    assert description.device == "Fake Orin (compute capability 8.7)"
    assert description.details == {
        "memory": "pinned",
        "device memory": "1.0 MB",
        "layers": "143",
        "cuda graph": "on",
    }


@pytest.mark.parametrize(
    ("integrated", "capability", "memory"),
    [
        (False, (9, 0), "pinned"),
        (True, (8, 7), "zero-copy"),
        (True, (7, 2), "zero-copy"),
        (True, (6, 2), "pinned"),  # a TX2: its CPU does not see what the GPU writes
    ],
)
def test_memory_is_shared_where_gpu_and_cpu_see_each_others_writes(
    gpu, integrated, capability, memory
):
    gpu.machine.integrated, gpu.machine.compute_capability = integrated, capability
    with load(gpu.plan(doubling())) as backend:
        assert backend.description.details["memory"] == memory
        kinds = {block.kind for block in gpu.machine.blocks.values()}
    assert kinds == ({"host"} if memory == "zero-copy" else {"host", "device"})


def test_an_input_filled_in_place_is_read_without_a_copy(machine, gpu, monkeypatch):
    with load(gpu.plan(doubling())) as backend:
        monkeypatch.delattr(np, "copyto")
        array = backend.input_arrays["x"]
        assert (array.shape, array.dtype, array.flags.c_contiguous) == ((2, 3), np.float32, True)
        for value in (1.0, 2.0):
            array.fill(value)
            assert (backend.run({"x": array})["y"] == 2 * value).all()
            assert backend.input_arrays["x"] is array


def test_frames_of_one_shape_allocate_nothing_and_reuse_their_memory(gpu):
    with load(gpu.plan(doubling()), cuda_graph=False) as backend:
        first = backend.run(zeros())["y"]
        calls = len(gpu.machine.calls)
        assert backend.run(zeros())["y"] is first
        allocations = [call for call in gpu.machine.calls[calls:] if "Alloc" in call]
    assert allocations == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (onnx.TensorProto.UINT8, np.uint8),
        (onnx.TensorProto.INT8, np.int8),
        (onnx.TensorProto.INT32, np.int32),
        (onnx.TensorProto.INT64, np.int64),
        (onnx.TensorProto.FLOAT16, np.float16),
        (onnx.TensorProto.FLOAT, np.float32),
    ],
)
def test_tensors_of_each_type_go_in_and_out(gpu, version, kind, dtype):
    gpu.use(version)
    if dtype is np.int64 and version.startswith("8."):
        dtype = np.int32  # what the parsers of 8.x make of it
    with load(gpu.plan(doubling(kind))) as backend:
        assert backend.description.inputs[0].dtype == backend.description.outputs[0].dtype == dtype
        values = np.arange(6, dtype=dtype).reshape(2, 3)
        output = backend.run({"x": values})["y"]
        assert output.dtype == dtype
        np.testing.assert_array_equal(output, 2 * values)


def test_truth_values_go_in_and_out(gpu):
    boolean = onnx.TensorProto.BOOL
    model = network([("Not", ["x"], ["y"])], {"x": (boolean, [3])}, {"y": (boolean, [3])})
    with load(gpu.plan(model)) as backend:
        output = backend.run({"x": np.array([True, False, True])})["y"]
        assert output.tolist() == [False, True, False]


def test_bfloat16_is_given_and_taken_as_float32_rounded_to_the_nearest(gpu):
    plan = gpu.plan(doubling(shape=(7,)), types={"x": "BF16", "y": "BF16"})
    # bfloat16 has 8 significant bits: between 1 and 2 its steps are 1/128.
    given = [1.0, 1 + 1 / 256, 1 + 3 / 256, 1.003, -3.0e38, np.inf, np.nan]
    taken = [2.0, 2.0, 2 + 4 / 128, 2.0, -np.inf, np.inf, np.nan]
    with load(plan) as backend:
        assert backend.input_arrays == {}
        assert backend.description.inputs[0].dtype == np.float32
        output = backend.run({"x": np.array(given, np.float32)})["y"]
        np.testing.assert_array_equal(output, np.array(taken, np.float32))


def test_a_type_that_numpy_lacks_is_refused_with_those_that_it_has(gpu):
    with pytest.raises(BackendError, match=r"tensor 'y' has the type FP8, .* one of FLOAT, HALF"):
        load(gpu.plan(doubling(), types={"y": "FP8"}))
    assert gpu.machine.leaks() == []


def test_a_vectorised_format_is_refused_with_what_to_build_instead(gpu):
    with pytest.raises(BackendError, match=r"tensor 'x' has the format 'CHW4 .*inputIOFormats"):
        load(gpu.plan(doubling(), formats={"x": "CHW4"}))
    assert gpu.machine.leaks() == []


def test_a_tensor_in_the_cpus_memory_is_refused(gpu):
    with pytest.raises(BackendError, match="tensor 'x' holds a shape"):
        load(gpu.plan(doubling(), locations={"x": "HOST"}))


# Dynamic shapes


def test_shapes_change_from_frame_to_frame_within_the_profiles(machine, gpu):
    with load(gpu.plan(doubling(shape=("n", 3)), profiles=PROFILES)) as backend:
        assert backend.description.inputs[0].shape == (None, 3)
        assert backend.description.outputs[0].shape == (None, 3)
        assert backend.input_arrays == {}
        assert backend.description.details["cuda graph"] == "off (dynamic shapes)"
        assert backend.description.details["profile"] == (
            "x 1x3..4x3 (best 1x3); x 5x3..16x3 (best 8x3)"
        )
        for rows in (1, 4, 9, 16, 2, 2):
            values = np.random.default_rng(rows).random((rows, 3), dtype=np.float32)
            np.testing.assert_array_equal(backend.run({"x": values})["y"], 2 * values)
    assert gpu.machine.leaks() == []


def test_memory_grows_with_the_shapes_and_is_kept_when_they_shrink(gpu):
    with load(gpu.plan(doubling(shape=("n", 3)), profiles=PROFILES)) as backend:
        backend.run({"x": np.zeros((16, 3), np.float32)})
        calls = len(gpu.machine.calls)
        for rows in (1, 16, 7):
            backend.run({"x": np.zeros((rows, 3), np.float32)})
        assert not [call for call in gpu.machine.calls[calls:] if "Alloc" in call]


def test_a_shape_outside_all_profiles_is_refused_with_their_ranges_and_the_next_frame_runs(gpu):
    with load(gpu.plan(doubling(shape=("n", 3)), profiles=PROFILES)) as backend:
        backend.run({"x": np.zeros((2, 3), np.float32)})
        with pytest.raises(BackendError) as refused:
            backend.run({"x": np.zeros((17, 3), np.float32)})
        assert "no profile holds x 17x3; the plan has profile 0: x 1x3..4x3 (best 1x3); " in str(
            refused.value
        )
        assert "profile 1: x 5x3..16x3 (best 8x3): correct the input's size" in str(refused.value)
        assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()


def test_an_input_with_another_number_of_dimensions_is_refused(gpu):
    with (
        load(gpu.plan(doubling(shape=("n", 3)), profiles=PROFILES)) as backend,
        pytest.raises(BackendError, match="no profile holds x 2x3x1"),
    ):
        backend.run({"x": np.zeros((2, 3, 1), np.float32)})


def test_the_active_profile_is_kept_where_it_fits_else_the_first_that_does_is_taken():
    small, middle, large = (
        Profile(index, {"x": ShapeRange((low,), (low,), (high,))})
        for index, (low, high) in enumerate([(1, 4), (2, 8), (2, 16)])
    )
    profiles = [small, middle, large]
    assert choose_profile(profiles, {"x": (3,)}, active=2) is large
    assert choose_profile(profiles, {"x": (1,)}, active=2) is small
    assert choose_profile(profiles, {"x": (7,)}, active=0) is middle
    assert choose_profile(profiles, {"x": (17,)}, active=0) is None


def test_an_open_shape_that_all_profiles_fix_is_fixed(gpu):
    profiles = [{"x": [[2, 3], [2, 3], [2, 3]]}]
    with load(gpu.plan(doubling(shape=("n", 3)), profiles=profiles)) as backend:
        assert backend.description.inputs[0].shape == (2, 3)
        assert backend.description.outputs[0].shape == (2, 3)
        assert backend.description.details["cuda graph"] == "on"
        backend.input_arrays["x"].fill(3)
        assert (backend.run(backend.input_arrays)["y"] == 6).all()


def test_a_fixed_shape_is_not_changed(gpu):
    with load(gpu.plan(doubling())) as backend:
        array = backend.input_arrays["x"]
        array.fill(1)
        with pytest.raises(BackendError, match="input 'x' takes 2x3, not 3x3: correct the input"):
            backend.run({"x": np.zeros((3, 3), np.float32)})
        assert backend.input_arrays["x"] is array
        assert backend.run({"x": array})["y"][0, 0] == 2


# Shapes that depend on the data


@pytest.mark.parametrize("version", VERSIONS)
def test_an_output_whose_shape_depends_on_the_data_has_the_shape_of_each_frame(
    machine, gpu, version
):
    integrated = machine.integrated
    gpu.use(version)
    gpu.machine.integrated = integrated
    with load(gpu.plan(positions())) as backend:
        description = backend.description
        assert {info.name: info.shape for info in description.outputs} == {
            "where": (1, None),
            "y": (8,),
        }
        assert description.details["cuda graph"] == "off (shapes of outputs depend on the data)"
        for places in ([1, 4, 6], [], list(range(8)), [7]):
            values = np.zeros(8, np.float32)
            values[places] = 1
            outputs = backend.run({"x": values})
            assert outputs["where"].tolist() == [places]
            np.testing.assert_array_equal(outputs["y"], 2 * values)
    assert gpu.machine.leaks() == []


def test_the_shape_of_an_earlier_frame_is_not_taken_for_this_ones(gpu):
    with load(gpu.plan(positions())) as backend:
        backend.run({"x": np.ones(8, np.float32)})
        gpu.machine.tells_shapes = False
        with pytest.raises(BackendError, match="the shape of output 'where' was not told"):
            backend.run({"x": np.ones(8, np.float32)})


def test_memory_that_runs_out_while_an_output_grows_is_told(gpu):
    with load(gpu.plan(positions())) as backend:
        gpu.machine.total_memory = gpu.machine.used_memory + 8
        with pytest.raises(BackendError, match=r"tensor 'where' needs .* MB, .* MB are free"):
            backend.run({"x": np.ones(8, np.float32)})
        gpu.machine.total_memory = 8 << 30
        assert backend.run({"x": np.ones(8, np.float32)})["where"].shape == (1, 8)
    assert gpu.machine.leaks() == []


# CUDA graphs


def test_a_recorded_inference_is_replayed_with_one_call(gpu):
    with load(gpu.plan(doubling())) as backend:
        calls = len(gpu.machine.calls)
        backend.run(zeros())
        assert gpu.machine.calls[calls:] == [
            "cuCtxPushCurrent",
            "cuGraphLaunch",
            "cuEventSynchronize",
        ]


def test_recording_is_left_out_on_request(gpu):
    with load(gpu.plan(doubling()), cuda_graph=False) as backend:
        assert backend.description.details["cuda graph"] == "off (tensorrt.cuda_graph)"
        assert "cuStreamBeginCapture" not in gpu.machine.calls


@pytest.mark.parametrize(
    "failing", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphLaunch"]
)
def test_recording_that_fails_is_given_up_and_inference_goes_on(gpu, failing):
    plan = gpu.plan(doubling())
    load(plan).close()
    call = gpu.machine.calls.index(failing)
    gpu.use(gpu.version)
    gpu.machine.fail_call = call
    with load(plan) as backend:
        assert backend.description.details["cuda graph"].startswith(f"off ({failing}")
        assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()
    assert gpu.machine.leaks() == []


def test_a_network_that_cannot_be_recorded_is_run_without(gpu):
    gpu.machine.records_graphs = False
    with load(gpu.plan(doubling())) as backend:
        reason = backend.description.details["cuda graph"]
        assert "not permitted when capturing" in reason
        assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()
    assert gpu.machine.leaks() == []


# What goes wrong while loading


def test_a_missing_an_empty_and_an_unreadable_file_are_told_apart(gpu, tmp_path: Path):
    with pytest.raises(BackendError, match=r"gone.plan: no such file; correct 'files'"):
        load(tmp_path / "gone.plan")
    (tmp_path / "empty.plan").touch()
    with pytest.raises(BackendError, match=r"empty.plan: the file is empty"):
        load(tmp_path / "empty.plan")
    with pytest.raises(BackendError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path)


def break_plan(path: Path) -> None:
    path.write_bytes(b"not a plan" * 100)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": "8.6.1"}, "expecting library version 10.3.0 got 8.6.1"),
        ({"gpu": "Fake Xavier"}, "incompatible device, expecting Fake Orin got Fake Xavier"),
        (None, "magicTag == rt::kPLAN_MAGIC_TAG failed"),
    ],
)
def test_a_plan_that_does_not_load_is_told_with_tensorrts_reason_and_the_remedy(gpu, options, said):
    plan = gpu.plan(doubling(), **(options or {}))
    if options is None:
        break_plan(plan)
    with pytest.raises(BackendError) as refused:
        load(plan)
    assert str(refused.value).startswith(f"{plan}: TensorRT 10.3.0 cannot load this plan")
    assert said in str(refused.value)
    assert "build it again on this machine" in str(refused.value)
    assert gpu.machine.leaks() == []


def test_memory_that_does_not_suffice_is_told_with_what_is_needed_and_what_is_free(gpu):
    plan = gpu.plan(doubling(), device_memory=900 << 20)
    gpu.machine.total_memory = 512 << 20
    with pytest.raises(BackendError, match=r"out of memory\); it needs 900 MB, free are 511 MB"):
        load(plan)
    assert gpu.machine.leaks() == []


def test_a_plan_that_does_not_fit_into_memory_is_not_to_be_built_again(gpu):
    plan = gpu.plan(doubling(), weights=900 << 20)
    gpu.machine.total_memory = 512 << 20
    with pytest.raises(BackendError, match="close what else uses the GPU") as refused:
        load(plan)
    assert "out of memory" in str(refused.value)
    assert "build it again" not in str(refused.value)
    assert gpu.machine.leaks() == []


def test_tensors_that_do_not_fit_are_named_with_their_size(gpu):
    plan = gpu.plan(doubling(shape=(1024, 1024)))
    gpu.machine.total_memory = 4 << 20
    with pytest.raises(BackendError, match=r"tensor 'x' needs 4.0 MB, 2.0 MB are free"):
        load(plan)
    assert gpu.machine.leaks() == []


def test_a_gpu_that_is_not_there_is_told_with_how_many_there_are(gpu):
    with pytest.raises(BackendUnavailableError, match=r"no GPU 1; this machine has 1"):
        load(gpu.plan(doubling()), device=1)


def test_a_second_gpu_is_named_with_its_index(gpu):
    gpu.machine.device_count = 2
    with load(gpu.plan(doubling()), device=1) as backend:
        assert backend.description.device.startswith("Fake Orin (GPU 1)")


def test_missing_pycuda_is_told(gpu, monkeypatch):
    plan = gpu.plan(doubling())
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendUnavailableError, match="pip install pycuda"):
        load(plan)


def test_a_dla_core_is_chosen_where_there_is_one(gpu):
    gpu.machine.integrated = True
    load(gpu.plan(doubling()), dla_core=1).close()
    with pytest.raises(BackendError, match=r"no DLA core 2; this machine has 2"):
        load(gpu.plan(doubling()), dla_core=2)
    assert gpu.machine.leaks() == []


def test_the_lean_runtime_runs_a_plan(gpu):
    with load(gpu.plan(doubling()), runtime=TensorrtRuntime.LEAN) as backend:
        assert backend.description.runtime == "TensorRT lean 10.3.0"
        assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()


def test_a_plugin_library_is_loaded_and_one_that_is_not_there_is_named(gpu):
    plan = gpu.plan(doubling())
    load(plan, plugin_libraries=("libm.so.6",)).close()
    with pytest.raises(BackendError, match=r"plugin_libraries: 'libnone.so' cannot be loaded"):
        load(plan, plugin_libraries=("libnone.so",))
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_plugins_that_tensorrt_has_to_register_are_registered_where_it_can(gpu, tmp_path, version):
    gpu.use(version)
    plugins = tmp_path / "libplugins.so"
    plugins.write_bytes(b"fake plugins")
    load(gpu.plan(doubling()), plugin_libraries=(str(plugins),)).close()
    registered = [] if version.startswith("8.5") else [str(plugins)]
    assert gpu.machine.plugin_libraries == registered
    assert gpu.machine.leaks() == []


def test_plugins_that_are_registered_already_are_told_and_the_plan_decides(gpu, tmp_path, caplog):
    plan, plugins = gpu.plan(doubling()), tmp_path / "libplugins.so"
    plugins.write_bytes(b"fake plugins")
    load(plan, plugin_libraries=(str(plugins),)).close()
    call = gpu.machine.calls.index("load_library")
    gpu.use(gpu.version)
    gpu.machine.fail_call = call
    load(plan, plugin_libraries=(str(plugins),)).close()
    assert "a plugin of this name is registered already" in caplog.text


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_version_compatible_plan_may_bring_its_own_runtime(gpu, version):
    gpu.use(version)
    load(gpu.plan(doubling(), host_code=True)).close()


def test_whatever_fails_while_loading_leaves_nothing_behind(gpu):
    plan = gpu.plan(positions())
    load(plan).close()
    calls = list(gpu.machine.calls)
    assert {"cuStreamCreate", "deserialize_cuda_engine", "set_output_allocator"} <= set(calls)
    for number, call in enumerate(calls):
        gpu.use(gpu.version)
        gpu.machine.fail_call = number
        if number < len(calls) - 1:
            with pytest.raises(BackendError) as refused:
                load(plan)
            # The error is still held, and must not hold anything itself.
            assert gpu.machine.leaks() == [], f"{number} {call}: {refused.value}"
        else:
            # The context cannot be pushed to close: all that can be dropped still is.
            load(plan).close()
            assert call == "cuCtxPushCurrent"
            assert gpu.machine.objects == []
            assert gpu.machine.primary.retained == 0


# What goes wrong while running


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_an_inference_that_fails_is_told_and_the_backend_can_be_closed(gpu, cuda_graph):
    backend = load(gpu.plan(doubling()), cuda_graph=cuda_graph)
    backend.run(zeros())
    gpu.faults(fail_at=gpu.machine.executions + 1)
    with pytest.raises(BackendError) as failed:
        backend.run(zeros())
    assert "model.plan: inference failed" in str(failed.value)
    said = "unspecified launch failure" if cuda_graph else "Cuda Runtime (injected)"
    assert said in str(failed.value)
    backend.close()  # while the error is still held
    assert gpu.machine.leaks() == []


def test_after_a_failure_that_passes_the_next_frame_is_right(gpu):
    with load(gpu.plan(doubling()), cuda_graph=False) as backend:
        gpu.faults(fail_at=1)
        with pytest.raises(BackendError, match="inference failed"):
            backend.run(zeros())
        gpu.faults()
        assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_gpu_that_has_failed_for_good_still_lets_the_backend_close(gpu, cuda_graph):
    backend = load(gpu.plan(doubling()), cuda_graph=cuda_graph)
    gpu.faults(break_at=1)
    with pytest.raises(BackendError, match="inference failed"):
        backend.run(zeros())
    with pytest.raises(BackendError, match="its context is lost: load the plan again"):
        backend.run(zeros())
    backend.close()
    backend.close()
    assert gpu.machine.primary.retained == 0
    assert gpu.machine.blocks == {}
    gpu.faults()
    with load(gpu.plan(doubling())) as healthy:
        assert (healthy.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_numbers_that_are_not_finite_come_through_as_they_are(gpu, cuda_graph):
    with load(gpu.plan(doubling()), cuda_graph=cuda_graph) as backend:
        gpu.faults(nan_at=1)
        assert np.isnan(backend.run(zeros())["y"]).all()


def test_an_inference_that_hangs_goes_on_when_the_gpu_does(gpu):
    backend_ready, done = threading.Event(), threading.Event()

    def infer() -> None:
        with load(gpu.plan(doubling())) as backend:
            gpu.faults(hang_at=1)
            backend_ready.set()
            backend.run(zeros())
        done.set()

    thread = threading.Thread(target=infer)
    thread.start()
    assert backend_ready.wait(20)
    assert not done.wait(0.1)
    gpu.faults()
    assert done.wait(20)
    thread.join()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "input 'x' was not given; the plan takes x"),
        ({"x": np.zeros((2, 3))}, "input 'x' takes float32, not float64: convert it"),
    ],
)
def test_an_input_that_is_missing_or_of_another_type_is_refused(gpu, inputs, said):
    with (
        load(gpu.plan(doubling())) as backend,
        pytest.raises(BackendError, match=said),
    ):
        backend.run(inputs)


# Threads and the end


def run_in_thread(function) -> None:
    failures: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=call, name="another")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("use", ["run", "close"])
def test_another_thread_is_refused_by_name_and_its_own_goes_on(gpu, use):
    with load(gpu.plan(doubling())) as backend:
        call = (lambda: backend.run(zeros())) if use == "run" else backend.close
        with pytest.raises(BackendError, match="belongs to thread 'MainThread' and was used by"):
            run_in_thread(call)
        assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()
    assert gpu.machine.leaks() == []


def test_any_thread_may_load_run_and_close(gpu):
    def all_of_it() -> None:
        with load(gpu.plan(doubling())) as backend:
            assert (backend.run({"x": np.ones((2, 3), np.float32)})["y"] == 2).all()
        assert gpu.machine.leaks() == []

    run_in_thread(all_of_it)


def test_between_calls_no_context_lies_on_the_threads_stack(gpu):
    with load(gpu.plan(doubling())) as backend:
        assert gpu.machine.stack == []
        backend.run(zeros())
        assert gpu.machine.stack == []


@pytest.mark.parametrize("first", [0, 1])
def test_two_backends_in_one_thread_close_in_either_order(gpu, first):
    plan = gpu.plan(doubling(shape=("n", 3)), profiles=PROFILES)
    backends = [load(plan), load(plan)]
    for backend in backends:
        backend.run({"x": np.ones((2, 3), np.float32)})
    backends.pop(first).close()
    (other,) = backends
    # Memory grows, so it is allocated in the context that is left.
    assert (other.run({"x": np.ones((9, 3), np.float32)})["y"] == 2).all()
    other.close()
    assert gpu.machine.leaks() == []


def test_a_closed_backend_refuses_to_run_and_may_be_closed_again(gpu):
    backend = load(gpu.plan(doubling()))
    backend.close()
    backend.close()
    assert backend.input_arrays == {}
    with pytest.raises(BackendError, match="was closed"):
        backend.run(zeros())
    assert gpu.machine.leaks() == []


def test_a_forgotten_backend_is_closed(gpu):
    backend = load(gpu.plan(doubling()))
    backend.run(zeros())
    del backend
    gc.collect()
    assert gpu.machine.leaks() == []


def test_a_backend_that_is_still_open_when_the_interpreter_ends_is_closed(gpu, tmp_path: Path):
    script = tmp_path / "forgets.py"
    script.write_text(
        "import atexit, sys\n"
        "import simulated_gpu\n"
        "from pathlib import Path\n"
        "atexit.register(lambda: print('left:', simulated_gpu.MACHINE.leaks()))\n"
        "from jetson_detect.core.backends.tensorrt import TensorrtBackend\n"
        "from jetson_detect.core.model import Format, ModelFile\n"
        "backend = TensorrtBackend(ModelFile(Format.TENSORRT, Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, script, gpu.plan(doubling())],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1] / "fakes"), "PATH": ""},
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "left: []\n", done.stderr
    assert done.stderr == ""


def test_a_tensor_named_otherwise_in_the_file_stays_by_the_files_name(gpu):
    file = ModelFile(Format.TENSORRT, gpu.plan(doubling()), tensors={"image": "x"})
    with TensorrtBackend(replace(file)) as backend:
        assert backend.description.file.tensor_name("image") == backend.description.inputs[0].name
