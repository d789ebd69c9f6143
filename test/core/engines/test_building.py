from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends.base import BackendUnavailableError
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.engines.building import BuildError, BuildOptions, build_engine
from jetson_detect.core.model import Format, ModelFile, Precision, load_model
from jetson_detect.share import find_model

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

FAKES = Path(__file__).parents[2] / "fakes"
sys.path.insert(0, str(FAKES / "fixtures"))
pytest_plugins = ("gpu_fixture",)

VERSIONS = ["8.5.3.1", "8.6.0", "10.3.0", "11.4.0.106"]
DEMO = load_model(find_model("demo")).files_for([Format.ONNX])[0].path


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """A network that doubles any number of rows of three."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        "network",
        [value("x", onnx.TensorProto.FLOAT, ["n", 3])],
        [value("y", onnx.TensorProto.FLOAT, ["n", 3])],
    )
    path = tmp_path / "doubling.onnx"
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A network that tells where its input is not 0: a fixed input, an open output."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("NonZero", ["x"], ["y"])],
        "network",
        [value("x", onnx.TensorProto.FLOAT, [4])],
        [value("y", onnx.TensorProto.INT64, [1, None])],
    )
    path = tmp_path / "places.onnx"
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def header_of(plan: bytes) -> dict[str, object]:
    sys.path.insert(0, str(FAKES))
    try:
        from fake_plan import read_plan
    finally:
        sys.path.remove(str(FAKES))
    return read_plan(plan)[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_built_plan_runs(gpu, tmp_path: Path, version):
    gpu.use(version)
    path = tmp_path / "demo.plan"
    path.write_bytes(build_engine(DEMO))
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
    path.write_bytes(build_engine(places))
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


def test_fp16_is_refused_where_precision_lives_in_the_onnx(gpu):
    gpu.use("11.4.0.106")
    with pytest.raises(BuildError, match="takes the precision from the ONNX file: convert"):
        build_engine(DEMO, BuildOptions(precision=Precision.FP16))


def test_a_precision_that_needs_more_than_a_flag_is_refused(gpu):
    with pytest.raises(BuildError, match="precision int8 cannot be built: use fp32 or fp16"):
        build_engine(DEMO, BuildOptions(precision=Precision.INT8))


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_the_optimisation_level_is_taken(gpu, version):
    gpu.use(version)
    assert header_of(build_engine(DEMO, BuildOptions(optimization_level=1)))["level"] == 1
    assert header_of(build_engine(DEMO))["level"] == 3


def test_an_optimisation_level_is_refused_where_there_is_none(gpu):
    gpu.use("8.5.3.1")
    with pytest.raises(BuildError, match=r"optimization_level 1: TensorRT 8.5.3.1 has none"):
        build_engine(DEMO, BuildOptions(optimization_level=1))


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
    path.write_bytes(build_engine(doubling, BuildOptions(profiles=profiles)))
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


def test_without_a_gpu_nothing_is_built(gpu):
    gpu.machine.device_count = 0
    with pytest.raises(BackendUnavailableError, match="knows no GPU"):
        build_engine(DEMO)
