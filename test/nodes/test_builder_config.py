from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jetson_detect.builder.engine_targets import EngineTarget
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.core.engines.cache import DEFAULT_SIZE_LIMIT_MB
from jetson_detect.core.engines.proof import ProofLimits
from jetson_detect.core.model import Format, Precision
from jetson_detect.nodes.builder_config import (
    BuilderConfig,
    CalibrationConfig,
    ProofConfig,
    check_models,
)
from jetson_detect.nodes.parameters import specifications
from jetson_detect.share import find_model

FP16 = EngineTarget("demo", Precision.FP16)


def test_the_defaults_are_those_of_the_builder():
    job = BuilderConfig().job(FP16)
    own = BuildJob(find_model("demo"))
    options = replace(own.options, precision=Precision.FP16)
    assert job == replace(own, options=options, limits=ProofLimits.for_precision(Precision.FP16))
    assert BuilderConfig().stage_limits() == StageLimits()


def test_every_parameter_of_a_build_reaches_it():
    config = BuilderConfig(
        source="keras",
        workspace_mb=64,
        optimization_level=5,
        dla_core=1,
        device=2,
        sparsity=True,
        tactic_sources=("CUBLAS",),
        version_compatible=True,
        timing_cache=False,
        calibration=CalibrationConfig("/bags/day", "/front", 50),
        proof=ProofConfig("/bags/night", "/rear", 5, map50=0.5, min_speedup=0.0),
        memory_mb=2000,
        deadline_s=60.0,
        niceness=3,
    )
    job = config.job(EngineTarget("demo", Precision.INT8))
    assert job.source is Format.KERAS
    assert (job.device, job.timing_cache) == (2, False)
    options = job.options
    assert (options.precision, options.workspace_mb) == (Precision.INT8, 64)
    assert (options.optimization_level, options.dla_core) == (5, 1)
    assert (options.sparsity, options.version_compatible) == (True, True)
    assert options.tactic_sources == ("CUBLAS",)
    assert job.calibration.choice.sources == ("/bags/day",)
    assert (job.calibration.topic, job.calibration.choice.count) == ("/front", 50)
    assert job.proof.choice.sources == ("/bags/night",)
    assert (job.proof.topic, job.proof.choice.count) == ("/rear", 5)
    assert job.limits == ProofLimits.for_precision(Precision.INT8, map50=0.5, min_speedup=0.0)
    assert config.stage_limits() == StageLimits(2000, 60.0, 3)


def test_calibration_and_proof_are_shown_other_scenes():
    job = BuilderConfig().job(FP16)
    assert job.calibration.choice.seed != job.proof.choice.seed


def test_each_model_is_built_in_each_precision_once():
    config = BuilderConfig(models=("b", "a", "b"), precisions=("int8", "fp16", "int8"))
    assert [(each.model, each.precision.value) for each in config.targets()] == [
        ("b", "int8"),
        ("b", "fp16"),
        ("a", "int8"),
        ("a", "fp16"),
    ]


def test_the_cache_is_where_the_parameter_the_variable_or_the_home_says(monkeypatch):
    monkeypatch.setenv("JETSON_DETECT_CACHE", "/data")
    assert BuilderConfig().cache().folder == Path("/data/engines")
    assert BuilderConfig(cache_folder="/mine").cache().folder == Path("/mine")
    assert BuilderConfig().cache_size_mb == DEFAULT_SIZE_LIMIT_MB


@pytest.mark.parametrize("empty", ["models", "precisions"])
def test_nothing_to_build_is_refused(empty):
    with pytest.raises(ValueError, match=f"parameter '{empty}' is empty"):
        check_models(replace(BuilderConfig(), **{empty: ()}))


def test_what_names_a_place_cannot_be_set_over_the_network():
    places = {"model_folders", "cache_folder", "calibration.source", "proof.source"}
    read_only = {each.name for each in specifications(BuilderConfig) if each.read_only}
    assert places <= read_only
    assert not {"models", "precisions"} & read_only
