from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jetson_detect.core.backends import choice as choice_module
from jetson_detect.core.backends.choice import MissingChoice, find_choices
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.model import Format, ModelFile, ModelSpec, Precision, load_model
from jetson_detect.share import find_model

DEMO = load_model(find_model("demo"))


def file(kind: Format, precision: Precision = Precision.FP32) -> ModelFile:
    return ModelFile(kind, DEMO.source.parent / f"{kind.value}_{precision.value}", precision)


EVERYTHING: ModelSpec = replace(
    DEMO,
    files=(
        file(Format.ONNX),
        file(Format.KERAS),
        file(Format.TFLITE),
        file(Format.TFLITE, Precision.INT8),
        file(Format.SAVED_MODEL),
        file(Format.TENSORRT, Precision.FP16),
    ),
)


@pytest.fixture
def machine(monkeypatch) -> Callable[[bool], None]:
    return lambda gpu: monkeypatch.setattr(choice_module, "has_gpu", lambda: gpu)


def names(choices) -> list[str]:
    return [f"{each.backend}:{each.file.path.name}" for each in choices]


def test_backends_are_tried_in_the_order_given_and_files_in_the_order_of_their_formats():
    choices, missing = find_choices(EVERYTHING, ("onnxruntime", "tensorflow"))
    # A SavedModel before a Keras file, whatever the order in model.yaml.
    assert names(choices) == [
        "onnxruntime:onnx_fp32",
        "tensorflow:saved_model_fp32",
        "tensorflow:keras_fp32",
    ]
    assert missing == ()
    assert all(each.expected for each in choices)


def test_auto_tries_tensorrt_first_and_on_a_cpu_the_quickest_to_start_next(machine):
    machine(False)
    choices, _ = find_choices(EVERYTHING)
    assert names(choices) == [
        "tensorrt:tensorrt_fp16",
        "tflite:tflite_fp32",
        "tflite:tflite_int8",
        "onnxruntime:onnx_fp32",
        "tensorflow:saved_model_fp32",
        "tensorflow:keras_fp32",
    ]
    assert not any(each.expected for each in choices)


def test_on_a_gpu_auto_leaves_tflite_which_cannot_use_it_for_the_end(machine):
    machine(True)
    choices, _ = find_choices(EVERYTHING)
    assert [each.backend for each in choices] == [
        "tensorrt",
        "tensorflow",
        "tensorflow",
        "onnxruntime",
        "tflite",
        "tflite",
    ]


def test_auto_after_names_stands_for_the_others(machine):
    machine(False)
    choices, _ = find_choices(EVERYTHING, ("onnxruntime", "auto"))
    assert [(each.backend, each.expected) for each in choices][:3] == [
        ("onnxruntime", True),
        ("tensorrt", False),
        ("tflite", False),
    ]


def test_only_files_of_the_wanted_precision_are_tried():
    choices, missing = find_choices(EVERYTHING, ("tensorrt", "tflite"), Precision.INT8)
    assert names(choices) == ["tflite:tflite_int8"]
    (none,) = missing
    assert none.backend == "tensorrt"
    assert "needs a file of format tensorrt with precision int8" in none.reason


def test_a_backend_without_a_file_is_told_with_what_the_model_has():
    choices, missing = find_choices(DEMO, ("tensorrt", "tflite"))
    assert names(choices) == ["tflite:demo_fp32.tflite", "tflite:demo_int8.tflite"]
    assert "the tensorrt backend needs a file of format tensorrt; the model has tflite fp32" in (
        missing[0].reason
    )


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ((), "no backend is named; use 'auto' or some of tensorrt"),
        (("tensorrt", "trt"), "backend 'trt' is not known; use auto, tensorrt"),
        (("tflite", "tflite"), "one is named twice"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(wanted, problem):
    with pytest.raises(ValueError, match=problem):
        find_choices(DEMO, wanted)


def test_an_engine_that_was_built_here_goes_before_the_one_that_the_model_brings():
    built = ModelFile(Format.TENSORRT, DEMO.source.parent / "built.plan", Precision.INT8)
    engines = EngineFiles((built,))
    choices, missing = find_choices(EVERYTHING, ("tensorrt",), engines=engines)
    assert names(choices) == ["tensorrt:built.plan", "tensorrt:tensorrt_fp16"]
    choices, _ = find_choices(EVERYTHING, ("tensorrt",), Precision.FP16, engines)
    assert names(choices) == ["tensorrt:tensorrt_fp16"]
    # A model that brings none is enough.
    choices, missing = find_choices(DEMO, ("tensorrt", "tflite"), engines=engines)
    assert [each.file.path.name for each in choices][:2] == ["built.plan", "demo_fp32.tflite"]
    assert missing == ()


REFUSED = EngineFiles(refusals=("fp16: TensorRT 8.5.3.1 instead of 8.6.0", "int8: broken"))


def test_why_built_engines_cannot_be_used_is_told_where_there_is_no_other():
    _, missing = find_choices(DEMO, ("tensorrt",), engines=REFUSED)
    assert missing[0].reason.endswith("; fp16: TensorRT 8.5.3.1 instead of 8.6.0; int8: broken")
    assert missing[0].expected


def test_why_built_engines_cannot_be_used_is_told_without_a_warning_where_the_model_has_one():
    choices, missing = find_choices(EVERYTHING, ("tensorrt",), engines=REFUSED)
    assert names(choices) == ["tensorrt:tensorrt_fp16"]
    reason = "fp16: TensorRT 8.5.3.1 instead of 8.6.0; int8: broken"
    assert missing == (MissingChoice("tensorrt", reason, expected=False),)


def test_engines_that_are_refused_beside_one_that_fits_are_not_told():
    built = ModelFile(Format.TENSORRT, DEMO.source.parent / "built.plan", Precision.FP16)
    for model in (DEMO, EVERYTHING):
        engines = replace(REFUSED, files=(built,))
        assert find_choices(model, ("tensorrt",), engines=engines)[1] == ()


def test_that_nothing_was_built_yet_is_told_where_the_model_has_no_engine_either():
    engines = EngineFiles(absence="no engine was built yet")
    _, missing = find_choices(DEMO, ("tensorrt", "tensorflow"), engines=engines)
    assert [each.reason.endswith("; no engine was built yet") for each in missing] == [True]
    assert find_choices(EVERYTHING, ("tensorrt",), engines=engines)[1] == ()
