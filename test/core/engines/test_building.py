from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends.base import BackendUnavailableError
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.engines.building import (
    BuildCancelledError,
    BuildError,
    BuildOptions,
    BuiltEngine,
    HardwareCompatibility,
    build_engine,
)
from jetson_detect.core.model import Format, ModelFile, Precision, load_model
from jetson_detect.share import find_model

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

FAKES = Path(__file__).parents[2] / "fakes"
sys.path.insert(0, str(FAKES / "fixtures"))
pytest_plugins = ("gpu_fixture",)
from small_networks import (  # noqa: E402
    save,
    save_convolution,
    save_efficient_nms,
    save_of_bytes,
    save_quantized,
    save_suppression,
)

VERSIONS = ["8.5.3.1", "8.6.0", "10.3.0", "11.4.0.106"]
DEMO = load_model(find_model("demo")).files_for([Format.ONNX])[0].path


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """A network that doubles any number of rows of three."""
    shape = (onnx.TensorProto.FLOAT, ["n", 3])
    nodes = [onnx.helper.make_node("Add", ["x", "x"], ["y"])]
    return save(tmp_path / "doubling.onnx", nodes, {"x": shape}, {"y": shape})


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A network that tells where its input is not 0: a fixed input, an open output."""
    return save(
        tmp_path / "places.onnx",
        [onnx.helper.make_node("NonZero", ["x"], ["y"])],
        {"x": (onnx.TensorProto.FLOAT, [4])},
        {"y": (onnx.TensorProto.INT64, [1, None])},
    )


def header_of(built: BuiltEngine) -> dict[str, Any]:
    sys.path.insert(0, str(FAKES))
    try:
        from fake_plan import read_plan
    finally:
        sys.path.remove(str(FAKES))
    return read_plan(built.plan)[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_built_plan_runs(gpu, tmp_path: Path, version):
    gpu.use(version)
    path = tmp_path / "demo.plan"
    path.write_bytes(build_engine(DEMO).plan)
    with TensorrtBackend(ModelFile(Format.TENSORRT, path)) as backend:
        assert [info.name for info in backend.description.inputs] == ["image"]
        backend.run(backend.input_arrays)
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_whose_outputs_depend_on_the_data_runs_though_its_input_is_fixed(
    gpu, places, tmp_path: Path, version
):
    # 8.5.3 and 8.6.0 fail without a profile, even if it is empty.
    gpu.use(version)
    path = tmp_path / "places.plan"
    path.write_bytes(build_engine(places).plan)
    with TensorrtBackend(ModelFile(Format.TENSORRT, path)) as backend:
        found = backend.run({"x": np.array([0, 1, 0, 2], np.float32)})
        assert found["y"].tolist() == [[1, 3]]


def test_without_tf32_an_fp32_plan_is_built_as_such(gpu):
    gpu.use("8.6.0")
    assert "TF32" in header_of(build_engine(DEMO))["flags"]
    assert "TF32" not in header_of(build_engine(DEMO, BuildOptions(tf32=False)))["flags"]


@pytest.mark.parametrize("version", VERSIONS[:3])
def test_fp16_is_asked_of_versions_that_have_a_flag_for_it(gpu, version):
    gpu.use(version)
    assert header_of(build_engine(DEMO))["flags"] == ["TF32"]
    built = build_engine(DEMO, BuildOptions(precision=Precision.FP16))
    assert header_of(built)["flags"] == ["FP16", "TF32"]


@pytest.mark.parametrize(
    ("version", "typed"), [("11.4.0.106", None), ("10.3.0", True)], ids=["11", "10 by option"]
)
def test_a_strongly_typed_engine_takes_fp16_from_the_onnx_and_no_flag(
    gpu, tmp_path, version, typed
):
    gpu.use(version)
    options = BuildOptions(precision=Precision.FP16, strongly_typed=typed)
    with pytest.raises(BuildError, match=r"takes the precision from the ONNX file: convert .*fp16"):
        build_engine(save_convolution(tmp_path / "plain.onnx"), options)
    header = header_of(build_engine(save_convolution(tmp_path / "h.onnx", half=True), options))
    assert (header["typed"], header["flags"]) == (True, ["TF32"])


@pytest.mark.parametrize("version", VERSIONS[:3])
def test_int8_is_asked_for_by_flags_and_the_rest_runs_in_half(gpu, tmp_path, version):
    gpu.use(version)
    quantized = save_quantized(tmp_path / "quantized.onnx")
    built = build_engine(quantized, BuildOptions(precision=Precision.INT8))
    assert header_of(built)["flags"] == ["FP16", "INT8", "TF32"]


def test_int8_needs_no_flag_where_there_is_none(gpu, tmp_path):
    gpu.use("11.4.0.106")
    quantized = save_quantized(tmp_path / "quantized.onnx")
    built = build_engine(quantized, BuildOptions(precision=Precision.INT8))
    assert header_of(built)["flags"] == ["TF32"]


@pytest.mark.parametrize("version", VERSIONS)
def test_int8_of_a_file_that_was_not_quantised_is_refused(gpu, version):
    gpu.use(version)
    said = r"precision int8: .*demo.onnx holds no QuantizeLinear.*quantise it with calibration"
    with pytest.raises(BuildError, match=said):
        build_engine(DEMO, BuildOptions(precision=Precision.INT8))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_a_quantised_file_is_built_for_int8_only(gpu, tmp_path, precision):
    quantized = save_quantized(tmp_path / "quantized.onnx")
    said = f"precision {precision.value}: .*quantized.onnx is quantised: build it with .* int8"
    with pytest.raises(BuildError, match=said):
        build_engine(quantized, BuildOptions(precision=precision))


def test_fp8_of_a_file_that_is_quantised_to_int8_is_refused(gpu, tmp_path):
    quantized = save_quantized(tmp_path / "quantized.onnx")
    with pytest.raises(BuildError, match=r"fp8: .*is quantised, but to int8"):
        build_engine(quantized, BuildOptions(precision=Precision.FP8))


def test_bf16_is_asked_for_where_there_is_a_flag(gpu):
    built = build_engine(DEMO, BuildOptions(precision=Precision.BF16))
    assert header_of(built)["flags"] == ["BF16", "TF32"]


@pytest.mark.parametrize(
    ("version", "options", "said"),
    [
        ("8.5.3.1", {"optimization_level": 1}, "optimization_level 1: .* only 8.6 and newer"),
        ("8.5.3.1", {"max_aux_streams": 1}, "max_aux_streams 1: .* only 8.6 and newer"),
        ("8.5.3.1", {"version_compatible": True}, "version_compatible: .* only 8.6 and newer"),
        (
            "8.5.3.1",
            {"hardware_compatibility": HardwareCompatibility.AMPERE_PLUS},
            "hardware_compatibility ampere_plus: .* only 8.6 and newer",
        ),
        (
            "10.3.0",
            {"hardware_compatibility": HardwareCompatibility.SAME_COMPUTE_CAPABILITY},
            "hardware_compatibility same_compute_capability: .* only 10.9 and newer",
        ),
        ("8.6.0", {"precision": Precision.BF16}, "precision bf16: .* only 10.0 to 10.16"),
        ("8.6.0", {"strip": True}, "strip: .* only 10.0 and newer"),
        ("8.6.0", {"strongly_typed": True}, "strongly_typed true: .* only 10.0 and newer"),
    ],
)
def test_an_option_that_the_version_lacks_is_refused_with_those_that_have_it(
    gpu, version, options, said
):
    gpu.use(version)
    with pytest.raises(BuildError, match=said.replace(": .*", f": TensorRT {version} has none,")):
        build_engine(DEMO, BuildOptions(**options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimization_level": 6}, "optimization_level 6: give 0 to 5"),
        ({"exclude_lean_runtime": True}, "exclude_lean_runtime: only a version compatible plan"),
        ({"dla_core": 0}, "dla_core 0: this machine has 0"),
    ],
)
def test_an_option_that_cannot_be_is_refused(gpu, options, said):
    with pytest.raises(BuildError, match=said):
        build_engine(DEMO, BuildOptions(**options))


def test_weak_types_are_refused_where_all_are_strong(gpu):
    gpu.use("11.4.0.106")
    with pytest.raises(BuildError, match=r"strongly_typed false: TensorRT .* builds nothing else"):
        build_engine(DEMO, BuildOptions(strongly_typed=False))


def test_the_options_that_are_flags_are_set(gpu):
    options = BuildOptions(
        sparsity=True,
        version_compatible=True,
        exclude_lean_runtime=True,
        refit=True,
        strip=True,
        max_aux_streams=2,
        avg_timing_iterations=4,
    )
    header = header_of(build_engine(DEMO, options))
    assert header["flags"] == [
        "EXCLUDE_LEAN_RUNTIME",
        "REFIT",
        "SPARSE_WEIGHTS",
        "STRIP_PLAN",
        "TF32",
        "VERSION_COMPATIBLE",
    ]
    assert (header["streams"], header["iterations"]) == (2, 4)


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("8.6.0", HardwareCompatibility.AMPERE_PLUS),
        ("10.16.1.11", HardwareCompatibility.SAME_COMPUTE_CAPABILITY),
    ],
)
def test_the_hardware_compatibility_is_taken(gpu, version, level):
    gpu.use(version)
    built = build_engine(DEMO, BuildOptions(hardware_compatibility=level))
    assert header_of(built)["hardware"] == level.value.upper()
    assert header_of(build_engine(DEMO))["hardware"] == "NONE"


def test_a_plan_for_a_dla_core_may_fall_back_to_the_gpu(gpu, monkeypatch):
    monkeypatch.setenv("FAKE_GPU_INTEGRATED", "1")
    gpu.use("8.6.0")
    options = BuildOptions(precision=Precision.FP16, dla_core=1)
    header = header_of(build_engine(DEMO, options))
    assert (header["device"], header["flags"]) == ("DLA 1", ["FP16", "GPU_FALLBACK", "TF32"])
    header = header_of(build_engine(DEMO, replace(options, gpu_fallback=False)))
    assert header["flags"] == ["FP16", "TF32"]
    with pytest.raises(
        BuildError, match="dla_core 1: a DLA computes in fp16 and int8, not in fp32"
    ):
        build_engine(DEMO, BuildOptions(dla_core=1))
    with pytest.raises(BuildError, match="dla_core 2: this machine has 2, counted from 0"):
        build_engine(DEMO, replace(options, dla_core=2))


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_the_optimisation_level_is_taken(gpu, version):
    gpu.use(version)
    assert header_of(build_engine(DEMO, BuildOptions(optimization_level=1)))["level"] == 1
    assert header_of(build_engine(DEMO))["level"] == 3


@pytest.mark.parametrize(("version", "bits"), [("8.5.3.1", 0b11000), ("11.4.0.106", 0b11)])
def test_tactic_sources_are_looked_up_by_name_whatever_their_number(gpu, version, bits):
    gpu.use(version)
    options = BuildOptions(tactic_sources=("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"))
    assert header_of(build_engine(DEMO, options))["sources"] == bits
    assert header_of(build_engine(DEMO))["sources"] is None


def test_a_tactic_source_that_the_version_lacks_is_refused_with_those_it_has(gpu):
    gpu.use("11.4.0.106")
    with pytest.raises(BuildError, match="has no CUDNN: use some of EDGE_MASK_CONVOLUTIONS, JIT"):
        build_engine(DEMO, BuildOptions(tactic_sources=("CUDNN",)))


def test_an_open_input_is_built_for_its_profile(gpu, tmp_path: Path, doubling):
    path = tmp_path / "doubling.plan"
    profiles = {"x": ((1, 3), (2, 3), (4, 3))}
    path.write_bytes(build_engine(doubling, BuildOptions(profiles=profiles)).plan)
    with TensorrtBackend(ModelFile(Format.TENSORRT, path)) as backend:
        assert backend.description.details["profile"] == "x 1x3..4x3 (best 2x3)"
        assert (backend.run({"x": np.ones((4, 3), np.float32)})["y"] == 2).all()


def test_an_open_input_without_a_profile_is_named(gpu, doubling):
    with pytest.raises(BuildError, match="give smallest, best and largest shape of x"):
        build_engine(doubling)


def test_a_profile_of_an_input_that_does_not_exist_is_named(gpu):
    with pytest.raises(BuildError, match="there is no picture"):
        build_engine(DEMO, BuildOptions(profiles={"picture": ((1,), (1,), (1,))}))


def test_a_profile_that_contradicts_itself_is_refused(gpu, doubling):
    with pytest.raises(BuildError, match=r"profiles: TensorRT 10.3.0 refuses .*\(4, 3\)"):
        build_engine(doubling, BuildOptions(profiles={"x": ((4, 3), (2, 3), (1, 3))}))


@pytest.mark.parametrize(
    ("version", "node"), [("8.6.0", r"node 0: "), ("10.3.0", r"node 0 'odd' \(Sinus\): ")]
)
def test_what_the_parser_does_not_know_is_listed_by_node(gpu, tmp_path: Path, version, node):
    gpu.use(version)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Sinus", ["x"], ["a"], name="odd"),
            onnx.helper.make_node("Cosinus", ["a"], ["y"], name="even"),
        ],
        "network",
        [value("x", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "odd.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    said = rf"odd.onnx: TensorRT {version} cannot parse it: {node}No importer .*Sinus; node 1.*Cos"
    with pytest.raises(BuildError, match=said):
        build_engine(path)


def test_a_missing_and_a_broken_file_are_named(gpu, tmp_path: Path):
    with pytest.raises(BuildError, match=r"gone.onnx: no such file"):
        build_engine(tmp_path / "gone.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no onnx")
    with pytest.raises(BuildError, match=r"broken.onnx: TensorRT 10.3.0 cannot parse it"):
        build_engine(tmp_path / "broken.onnx")


def test_a_build_that_fails_is_told_with_tensorrts_reason(gpu):
    with pytest.raises(BuildError, match=r"built no plan \(TensorRT: 10: Could not find any impl"):
        build_engine(DEMO, BuildOptions(workspace_mb=0))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_uint8_input_is_taken_where_a_cast_reads_it_and_nowhere_else(gpu, tmp_path, version):
    gpu.use(version)
    build_engine(save_of_bytes(tmp_path / "good.onnx", cast_first=True))
    said = r"uint8 inputs only where a Cast reads them, and not image \(turn\): .*float_inputs"
    with pytest.raises(BuildError, match=said):
        build_engine(save_of_bytes(tmp_path / "bad.onnx", cast_first=False))


def test_the_size_of_a_uint8_input_may_be_asked_for_without_a_cast(gpu, tmp_path):
    path = save(
        tmp_path / "size.onnx",
        [onnx.helper.make_node("Shape", ["image"], ["size"])],
        {"image": (onnx.TensorProto.UINT8, [1, 4, 4, 3])},
        {"size": (onnx.TensorProto.INT64, [4])},
    )
    assert build_engine(path).plan


def test_tensorrts_own_plugins_are_known_to_the_parser(gpu, tmp_path):
    assert build_engine(save_efficient_nms(tmp_path / "nms.onnx")).plan
    gpu.machine.fail_call = len(gpu.machine.calls)
    with pytest.raises(BuildError, match="cannot load its plugins"):
        build_engine(DEMO)


def test_suppression_that_cannot_be_built_is_to_be_cut_out(gpu, tmp_path):
    node = "{ForeignNode[boxes...nms]}"
    gpu.faults(no_implementation=node)
    said = r"ForeignNode.*: cut the suppression out of the network \(nms: cut\), or give"
    with pytest.raises(BuildError, match=said):
        build_engine(save_suppression(tmp_path / "nms.onnx"))
    with pytest.raises(BuildError) as caught:
        build_engine(DEMO)
    assert "nms: cut" not in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_skipped_tactics_and_the_memory_they_wanted_are_noted(gpu, version):
    gpu.use(version)
    gpu.faults(tactics_need_mb=3000, build_warnings=["old 1", "old 2"])
    notes = build_engine(DEMO).notes
    assert (notes.skipped_tactics, notes.workspace_shortages) == (3, 4)
    assert (notes.largest_request_mb, notes.least_available_mb) == (3000, 1024)
    assert notes.warnings == ("old 1 (2 times)",)
    assert notes.advice(1024) == "give workspace_mb: 3000"
    assert notes.seconds > 0
    notes = build_engine(DEMO, BuildOptions(workspace_mb=3000)).notes
    assert (notes.skipped_tactics, notes.workspace_shortages) == (0, 0)


def test_a_build_that_fails_for_want_of_memory_says_how_much(gpu):
    gpu.faults(tactics_need_mb=3000, no_implementation="conv")
    with pytest.raises(BuildError) as caught:
        build_engine(DEMO)
    assert "conv" in str(caught.value)
    gpu.faults()
    assert build_engine(DEMO).notes.skipped_tactics == 0


@pytest.mark.parametrize("version", VERSIONS[2:])
def test_progress_is_told_from_0_to_1_in_words(gpu, version):
    gpu.use(version)
    told: list[tuple[str, float | None]] = []
    build_engine(DEMO, progress=lambda words, fraction: told.append((words, fraction)))
    words = list(dict.fromkeys(words for words, _ in told))
    assert words == [
        "parsing",
        "building",
        "building: Building Engine",
        "building: Timing graph nodes",
        "serialising",
    ]
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert len(set(fractions)) > 10


@pytest.mark.parametrize("version", VERSIONS[:2])
def test_where_tensorrt_tells_no_progress_the_phases_are_told(gpu, version):
    gpu.use(version)
    told: list[tuple[str, float | None]] = []
    build_engine(DEMO, progress=lambda words, fraction: told.append((words, fraction)))
    assert told == [("parsing", None), ("building", None), ("serialising", None)]


@pytest.mark.parametrize("version", VERSIONS[2:])
def test_a_build_is_cancelled_at_the_next_step(gpu, version):
    gpu.use(version)
    told = []

    def progress(words, fraction):
        told.append(fraction)
        if fraction > 0.4:
            raise BuildCancelledError("the robot wants to drive")

    with pytest.raises(BuildCancelledError, match="the robot wants to drive"):
        build_engine(DEMO, progress=progress)
    assert 0.4 < told[-1] < 0.6


def test_a_version_that_tells_no_progress_is_cancelled_between_phases(gpu):
    gpu.use("8.6.0")

    def progress(words, fraction):
        if words == "building":
            raise BuildCancelledError("no more")

    with pytest.raises(BuildCancelledError):
        build_engine(DEMO, progress=progress)


def test_another_build_in_the_same_process_has_notes_of_its_own(gpu):
    gpu.faults(build_warnings=["once"])
    assert build_engine(DEMO).notes.warnings == ("once",)
    gpu.faults()
    assert build_engine(DEMO).notes.warnings == ()


def test_without_a_gpu_nothing_is_built(gpu):
    gpu.machine.device_count = 0
    with pytest.raises(BackendUnavailableError, match="knows no GPU"):
        build_engine(DEMO)
