from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jetson_detect.builder.sources import choose_source, witnesses
from jetson_detect.core.model import Format, ModelError, ModelFile, ModelSpec, Precision, load_model
from jetson_detect.share import find_model

DEMO = load_model(find_model("demo"))


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    """Every kind of file; all but the engine and the SavedModel exist."""
    kinds = [*Format, Format.TFLITE]
    files = [
        ModelFile(kind, tmp_path / f"{index}", Precision.FP32) for index, kind in enumerate(kinds)
    ]
    files[-1] = replace(files[-1], precision=Precision.INT8)
    for file in files:
        if file.format not in (Format.TENSORRT, Format.SAVED_MODEL):
            file.path.touch()
    return replace(DEMO, files=tuple(files))


def test_an_engine_is_built_from_what_needs_the_least_conversion(model):
    assert choose_source(model).format is Format.ONNX
    (onnx,) = model.files_for([Format.ONNX])
    onnx.path.unlink()
    assert choose_source(model).format is Format.FROZEN_GRAPH


def test_a_source_may_be_named(model):
    assert choose_source(model, Format.KERAS).format is Format.KERAS
    with pytest.raises(ModelError, match="no saved_model file of precision fp32 is there"):
        choose_source(model, Format.SAVED_MODEL)
    with pytest.raises(ValueError, match="source tflite: engines are built from onnx, "):
        choose_source(model, Format.TFLITE)


def test_a_model_without_a_source_says_what_it_has():
    only_tflite = replace(DEMO, files=DEMO.files_for([Format.TFLITE]))
    with pytest.raises(ModelError, match=r"only demo_fp32.tflite \(tflite\), demo_int8.tflite"):
        choose_source(only_tflite)


def test_the_source_vouches_first_and_then_its_siblings_of_full_precision(model):
    source = choose_source(model, Format.KERAS)
    found = [(backend, file.format) for backend, file in witnesses(model, source)]
    assert found == [
        ("tensorflow", Format.KERAS),
        ("tensorflow", Format.FROZEN_GRAPH),
        ("tflite", Format.TFLITE),
        ("onnxruntime", Format.ONNX),
    ]
