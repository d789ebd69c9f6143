from __future__ import annotations

from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.diagnostics import to_diagnostic_status
from jetson_detect.core.backends import BackendDescription, TensorInfo
from jetson_detect.core.fallback import ChainStatus, Refusal
from jetson_detect.core.model import Format, ModelFile, Precision

INFO = TensorInfo("image", (1, 4), np.dtype(np.float32))
RUNNING = BackendDescription(
    "tflite",
    "ai-edge-litert 2.0",
    "CPU",
    ModelFile(Format.TFLITE, Path("/m/demo.tflite"), Precision.INT8),
    (INFO,),
    (INFO,),
    {"threads": "2"},
)
BROKEN = Refusal("tensorrt", "demo.plan", "corrupt; build it again", failures=2, retry_in_s=3.6)
NO_FILE = Refusal("tensorrt", "", "the model has no plan", final=True, expected=False)


def message(running=RUNNING, refusals=(), why="it is the first choice", takeovers=0):
    status = ChainStatus(running, why, tuple(refusals), takeovers)
    return to_diagnostic_status(status, "front/detector: backend", "demo")


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {each.key: each.value for each in status.values}


def test_the_wanted_backend_is_ok():
    status = message()
    assert status.level == DiagnosticStatus.OK
    assert status.name == "front/detector: backend"
    assert status.message == "runs on tflite"
    assert status.hardware_id == "CPU"
    assert values(status) == {
        "model": "demo",
        "backend": "tflite",
        "runtime": "ai-edge-litert 2.0",
        "device": "CPU",
        "file": "/m/demo.tflite",
        "precision": "int8",
        "threads": "2",
        "why": "it is the first choice",
        "takeovers": "0",
    }


def test_a_stand_in_is_a_warning_that_says_what_failed_and_when_it_is_tried_again():
    status = message(refusals=[BROKEN], why="the better ones were refused", takeovers=1)
    assert status.level == DiagnosticStatus.WARN
    assert status.message == "runs on tflite in place of tensorrt"
    assert values(status)["refused: tensorrt (demo.plan)"] == (
        "corrupt; build it again; tried again in 4 s"
    )


def test_what_nobody_asked_for_by_name_may_be_missing_but_is_told():
    status = message(refusals=[NO_FILE])
    assert status.level == DiagnosticStatus.OK
    assert values(status)["refused: tensorrt"] == "the model has no plan"


def test_no_backend_is_an_error():
    status = message(running=None, refusals=[BROKEN], why="all backends have failed")
    assert status.level == DiagnosticStatus.ERROR
    assert status.message == "no backend works"
    assert values(status)["why"] == "all backends have failed"
