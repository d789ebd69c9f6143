"""The demo model's own int8 file, proved against its source in earnest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jetson_detect.core.engines.proof import (
    Proof,
    ProofLimits,
    Reference,
    RunOptions,
    prove,
    run_reference,
)
from jetson_detect.core.model import Format, Precision, load_model
from jetson_detect.core.sample_frames import FrameChoice, take_frames
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
FRAMES = take_frames(FrameChoice(count=40), MODEL.labels, pytest.fail)
OPTIONS = RunOptions(warm_up=5, runs=20)
(FP32,) = MODEL.files_for([Format.TFLITE], Precision.FP32)
(INT8,) = MODEL.files_for([Format.TFLITE], Precision.INT8)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The source's answers, by way of a file."""
    path: Path = tmp_path_factory.mktemp("reference") / "demo.npz"
    run_reference(MODEL, FP32, FRAMES, OPTIONS).save(path)
    return Reference.load(path)


@pytest.fixture(scope="module")
def proof(reference: Reference) -> Proof:
    return prove(MODEL, INT8, reference, FRAMES, options=OPTIONS)


def test_the_int8_file_keeps_to_the_limits_of_int8(proof):
    assert proof.failures == ()
    seen = proof.comparison
    assert seen.detections.objects > 80
    assert seen.against_source.engine50 > 0.98
    assert abs(seen.against_truth.drop50) < 0.02
    assert seen.against_truth.source50 > 0.9
    assert 0.1 < seen.detections.box_input_px.p99 < 5


def test_the_int8_file_does_not_pass_for_fp16(reference):
    proof = prove(
        MODEL, replace(INT8, precision=Precision.FP16), reference, FRAMES, options=OPTIONS
    )
    refused = [sentence.split(" has an rms")[0] for sentence in proof.failures if "rms" in sentence]
    assert refused == ["output heatmap", "output offset", "output size"]


def test_the_source_itself_keeps_to_the_narrowest_limits(reference):
    limits = ProofLimits(1e-5, 1e-5, 0.9999, 1e-6, 0.001, 0.0)
    proof = prove(MODEL, FP32, reference, FRAMES, limits, options=OPTIONS)
    assert proof.failures == ()
