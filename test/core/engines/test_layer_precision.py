from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.engines.building import BuildOptions, build_engine
from jetson_detect.core.engines.layer_precision import (
    UNKNOWN,
    LayerPrecision,
    LayerPrecisions,
    inspect_layers,
    precision_problem,
)
from jetson_detect.core.model import Precision

pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

FAKES = Path(__file__).parents[2] / "fakes"
sys.path.insert(0, str(FAKES / "fixtures"))
pytest_plugins = ("gpu_fixture",)
from small_networks import save_convolution, save_quantized  # noqa: E402

VERSIONS = ["8.5.3.1", "8.6.0", "10.3.0", "11.4.0.106"]


def counted(**counts: int) -> LayerPrecisions:
    layers = [
        LayerPrecision(f"{name} {index}", "CaskConvolution", name)
        for name, count in counts.items()
        for index in range(count)
    ]
    return LayerPrecisions.of(tuple(layers))


def layer(kind: str, inputs: list[str], outputs: list[str], **more: object) -> dict[str, object]:
    return {
        "Name": "layer",
        "LayerType": kind,
        "Inputs": [{"Name": "in", "Format/Datatype": text} for text in inputs],
        "Outputs": [{"Name": "out", "Format/Datatype": text} for text in outputs],
        **more,
    }


@pytest.fixture
def told(gpu, tmp_path, monkeypatch):
    """What is read from an inspector that tells a text; also layer by layer, if given."""
    plan = tmp_path / "told.plan"
    plan.write_bytes(build_engine(save_convolution(tmp_path / "told.onnx")).plan)

    def read(text: str, by_layer: list[str] | None = None) -> LayerPrecisions:
        inspector = sys.modules["tensorrt"].EngineInspector
        monkeypatch.setattr(inspector, "get_engine_information", lambda self, _: text)
        monkeypatch.setattr(
            inspector, "get_layer_information", lambda self, index, _: (by_layer or [])[index]
        )
        return inspect_layers(plan)

    return read


@pytest.fixture
def entry(told):
    """What is read of one entry."""
    import json

    return lambda described: told(json.dumps({"Layers": [described]})).layers


# A built plan


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
def test_a_built_plan_tells_the_precision_of_what_computes(gpu, tmp_path, version, precision):
    gpu.use(version)
    path = tmp_path / "network.onnx"
    if precision is Precision.INT8:
        save_quantized(path)
        expected = {"INT8": 1}
    else:
        baked = precision is Precision.FP16 and version.startswith("11")
        save_convolution(path, half=baked)
        expected = {precision.value.upper(): 2}
    plan = tmp_path / "network.plan"
    plan.write_bytes(build_engine(path, BuildOptions(precision=precision)).plan)
    found = inspect_layers(plan)
    assert {name: count for name, count in found.counts.items() if count} == expected
    assert len(found.layers) == sum(expected.values())
    assert precision_problem(found, precision) is None
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("version", VERSIONS[:3])
def test_an_fp16_engine_that_is_fp32_is_found_out(gpu, tmp_path, version):
    gpu.use(version)
    gpu.faults(ignore_fp16=True)
    plan = tmp_path / "network.plan"
    network = save_convolution(tmp_path / "network.onnx")
    plan.write_bytes(build_engine(network, BuildOptions(precision=Precision.FP16)).plan)
    problem = precision_problem(inspect_layers(plan), Precision.FP16)
    assert problem is not None
    assert problem.startswith(
        "the engine was built for fp16 and no layer of it runs in FP16: 2 in FP32; "
    )


def test_a_plan_that_tells_names_only_is_unknown_throughout(gpu):
    plan = gpu.plan(save_convolution(gpu._folder / "network.onnx"))
    found = inspect_layers(plan)
    assert found.counts[UNKNOWN] == len(found.layers) > 0
    assert precision_problem(found, Precision.FP16) is None


def test_a_plan_that_cannot_be_loaded_is_an_error_with_its_path(gpu, tmp_path):
    plan = tmp_path / "broken.plan"
    plan.write_bytes(b"nothing")
    with pytest.raises(BackendError, match=r"broken.plan: TensorRT 10.3.0 cannot load this plan"):
        inspect_layers(plan)
    assert gpu.machine.leaks() == []


# What inspectors say


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("Half", "FP16"),
        ("Float", "FP32"),
        ("Int8", "INT8"),
        ("BFloat16", "BF16"),
        ("FP8", "FP8"),
        ("Row major linear FP32", "FP32"),
        ("Row major linear FP16 format", "FP16"),
        ("Row major linear BFloat16 format", "BF16"),
        ("Channel major FP16 format where channel % 8 == 0", "FP16"),
        ("Channel major FP32 format where channel % 4 == 0", "FP32"),
        ("Two wide channel vectorized row major FP16 format", "FP16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "INT8"),
        ("Channel major INT8 format where channel == 4 and column stride % 32 == 0", "INT8"),
        ("Row major linear UInt8 format", UNKNOWN),
        ("Int32", UNKNOWN),
        ("Unknown format", UNKNOWN),
    ],
)
def test_a_format_tells_a_precision_in_the_words_of_any_version(entry, text, precision):
    assert entry(layer("CaskConvolution", [text], [text])) == (
        LayerPrecision("layer", "CaskConvolution", precision),
    )


def test_newer_versions_tell_the_type_by_itself(entry):
    described = {
        "Name": "layer",
        "LayerType": "gemm",
        "Inputs": [{"Name": "in", "Format": "Linear", "Datatype": "Half"}],
    }
    assert [found.precision for found in entry(described)] == ["FP16"]


def test_the_weights_tell_more_than_the_inputs_and_these_more_than_the_outputs(entry):
    (found,) = entry(layer("CaskConvolution", ["Float"], ["Float"], Weights={"Type": "Half"}))
    assert found.precision == "FP16"
    (found,) = entry(layer("CaskConvolution", ["Int8"], ["Half"]))
    assert found.precision == "INT8"
    (found,) = entry(layer("CaskConvolution", [], ["Half"]))
    assert found.precision == "FP16"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("CaskConvolution", {}),
        ("CaskConvActPool", {}),
        ("CaskDeconvolutionV2", {}),
        ("CudaDepthwiseConvolution", {}),
        ("MatrixMultiply", {}),
        ("CublasLtMatMul", {}),
        ("CaskGemmConvolution", {}),
        ("FullyConnected", {}),
        ("gemm", {}),
        ("correlation", {}),
        ("Unheard", {"ParameterType": "Convolution"}),
        ("kgen", {"Name": "_gemm_mha_v2_myl0_4"}),
    ],
)
def test_what_computes_is_counted(entry, kind, more):
    assert len(entry(layer(kind, ["Half"], ["Half"], **more))) == 1


@pytest.mark.parametrize(
    "kind",
    ["Reformat", "NoOp", "CaskPooling", "PointWiseV2", "kgen", "Shuffle", "FormatConversion"],
)
def test_what_only_moves_numbers_is_not(entry, kind):
    assert entry(layer(kind, ["Half"], ["Half"])) == ()


@pytest.mark.parametrize(
    ("inputs", "precision"),
    [(["Float"], UNKNOWN), (["Float", "Half"], "FP16"), (["Int32"], UNKNOWN), (["Int8"], "INT8")],
)
def test_a_compiled_part_is_not_called_fp32_by_its_edges(entry, inputs, precision):
    assert [found.precision for found in entry(layer("Myelin", inputs, ["Float"]))] == [precision]
    foreign = layer("", inputs, ["Float"], Name="{ForeignNode[a...b]}")
    assert [found.precision for found in entry(foreign)] == [precision]


def test_control_characters_in_names_are_read(told):
    text = '{"Layers": [{"Name": "a\x1eb", "LayerType": "gemm", "Inputs": []}]}'
    assert [found.name for found in told(text).layers] == ["a\x1eb"]


def test_where_the_whole_is_no_json_each_layer_is_read_by_itself(told):
    found = told(
        '{"Layers": [{"Name": "a "quoted" name"}]}',
        [
            '{"Name": "first", "LayerType": "gemm", "Inputs": [{"Format/Datatype": "Half"}]}',
            '{"Name": "a "quoted" name"}',
            '{"Name": "copy", "LayerType": "Reformat"}',
        ],
    )
    assert found.layers == (
        LayerPrecision("first", "gemm", "FP16"),
        LayerPrecision("layer 1", "", UNKNOWN),
    )


# Problems


@pytest.mark.parametrize(
    ("counts", "wanted", "refused"),
    [
        ({"FP32": 3}, Precision.FP32, False),
        ({"FP32": 3}, Precision.FP16, True),
        ({"FP32": 3, "FP16": 1}, Precision.FP16, False),
        ({"FP16": 3}, Precision.INT8, True),
        ({"INT8": 1, "FP16": 9}, Precision.INT8, False),
        ({"FP32": 1, "unknown": 9}, Precision.FP16, True),
        ({"unknown": 2}, Precision.FP16, False),
        ({}, Precision.INT8, False),
        ({"FP16": 2}, Precision.BF16, True),
    ],
)
def test_an_engine_without_a_layer_of_its_precision_is_a_problem(counts, wanted, refused):
    assert (precision_problem(counted(**counts), wanted) is not None) is refused
