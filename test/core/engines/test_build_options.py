from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from jetson_detect.core.engines.build_options import (
    BuildOptions,
    HardwareCompatibility,
    OnnxForm,
    is_strongly_typed,
    onnx_form,
)
from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.features import features_of

OTHERS = {
    "precision": Precision.FP16,
    "tf32": False,
    "workspace_mb": 2048,
    "optimization_level": 5,
    "profiles": {"x": ((1, 3), (2, 3), (4, 3))},
    "dla_core": 1,
    "gpu_fallback": False,
    "sparsity": True,
    "tactic_sources": ("CUDNN",),
    "version_compatible": True,
    "exclude_lean_runtime": True,
    "hardware_compatibility": HardwareCompatibility.AMPERE_PLUS,
    "refit": True,
    "strip": True,
    "strongly_typed": True,
    "max_aux_streams": 2,
    "avg_timing_iterations": 4,
}


def test_the_identity_survives_json_unchanged():
    options = BuildOptions(**OTHERS)
    assert json.loads(json.dumps(options.identity())) == options.identity()
    assert options.identity()["profiles"] == {"x": [[1, 3], [2, 3], [4, 3]]}
    assert options.identity()["hardware_compatibility"] == "ampere_plus"


def test_every_option_but_the_timing_cache_makes_another_engine():
    assert {field.name for field in fields(BuildOptions)} == OTHERS.keys() | {"timing_cache"}
    for name, value in OTHERS.items():
        changed = replace(BuildOptions(), **{name: value})
        assert changed.identity() != BuildOptions().identity(), name
    cached = BuildOptions(timing_cache=Path("/cache/times"))
    assert cached.identity() == BuildOptions().identity()


def test_the_order_of_tactic_sources_and_of_profiles_makes_no_other_engine():
    shapes = ((1,), (2,), (3,))
    one = BuildOptions(tactic_sources=("A", "B"), profiles={"x": shapes, "y": shapes})
    other = BuildOptions(tactic_sources=("B", "A", "A"), profiles={"y": shapes, "x": shapes})
    assert json.dumps(one.identity()) == json.dumps(other.identity())
    none = BuildOptions(tactic_sources=())
    assert none.identity()["tactic_sources"] == []
    assert BuildOptions().identity()["tactic_sources"] is None


@pytest.mark.parametrize(
    ("version", "precision", "typed", "form"),
    [
        ("8.5.3.1", Precision.FP32, None, OnnxForm.PLAIN),
        ("8.5.3.1", Precision.FP16, None, OnnxForm.PLAIN),
        ("8.6.0", Precision.INT8, None, OnnxForm.INT8_QDQ),
        ("10.3.0", Precision.FP16, None, OnnxForm.PLAIN),
        ("10.3.0", Precision.FP16, False, OnnxForm.PLAIN),
        ("10.3.0", Precision.FP16, True, OnnxForm.FLOAT16),
        ("10.3.0", Precision.INT8, True, OnnxForm.INT8_QDQ_FLOAT16),
        ("10.3.0", Precision.BF16, None, OnnxForm.PLAIN),
        ("11.4.0.106", Precision.FP32, None, OnnxForm.PLAIN),
        ("11.4.0.106", Precision.FP16, None, OnnxForm.FLOAT16),
        ("11.4.0.106", Precision.INT8, None, OnnxForm.INT8_QDQ_FLOAT16),
    ],
)
def test_the_form_of_the_onnx_file_follows_from_version_and_precision(
    version, precision, typed, form
):
    options = BuildOptions(precision=precision, strongly_typed=typed)
    assert onnx_form(features_of(version), options) is form


@pytest.mark.parametrize(
    ("version", "asked", "typed"),
    [
        ("8.6.0", None, False),
        ("10.3.0", None, False),
        ("10.3.0", True, True),
        ("11.0.0", None, True),
    ],
)
def test_a_network_is_strongly_typed_when_asked_for_or_where_there_is_nothing_else(
    version, asked, typed
):
    options = BuildOptions(strongly_typed=asked)
    assert is_strongly_typed(features_of(version), options) is typed
