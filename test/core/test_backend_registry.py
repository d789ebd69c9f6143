from __future__ import annotations

import subprocess
import sys

import pytest

from jetson_detect.core.backends import (
    BACKENDS,
    BackendError,
    backend_of,
    open_backend,
    open_by_format,
)
from jetson_detect.core.model import Format, ModelFile, Precision, load_model
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))


def test_every_backend_can_be_imported_and_no_library_comes_with_it():
    program = (
        "import sys\n"
        "from importlib import import_module\n"
        "from jetson_detect.core.backends import BACKENDS\n"
        "for _, module, name in BACKENDS.values():\n"
        "    assert isinstance(getattr(import_module(module), name), type), name\n"
        "heavy = ('tensorflow', 'keras', 'onnxruntime', 'ai_edge_litert', 'tensorrt', 'pycuda')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_every_format_has_one_backend_that_runs_it():
    formats = [kind for kinds, _, _ in BACKENDS.values() for kind in kinds]
    assert sorted(formats) == sorted(Format)


@pytest.mark.parametrize("kind", Format)
def test_a_file_belongs_to_the_backend_that_lists_its_format(kind, tmp_path):
    assert kind in BACKENDS[backend_of(ModelFile(kind, tmp_path / "file"))][0]


@pytest.mark.parametrize(
    ("kind", "name"), [(Format.ONNX, "onnxruntime"), (Format.TFLITE, "tflite")]
)
def test_a_file_is_opened_by_the_backend_of_its_format(kind, name):
    library = {"onnxruntime": "onnxruntime", "tflite": "ai_edge_litert"}[name]
    pytest.importorskip(library, reason=f"{library} is not installed")
    with open_by_format(MODEL.files_for([kind])[0]) as backend:
        assert backend.description.backend == name


def test_an_unknown_backend_is_refused_with_the_known_ones():
    with pytest.raises(
        BackendError,
        match=r"'tensorblt' is not known: use one of tensorrt, tensorflow, tflite, onnxruntime$",
    ):
        open_backend(MODEL, "tensorblt")


def test_a_precision_that_the_model_lacks_is_refused_with_what_it_has():
    with pytest.raises(BackendError, match=r"precision fp16; the model has tflite fp32, tflite i"):
        open_backend(MODEL, "tflite", precision=Precision.FP16)


def test_a_backend_that_no_file_is_for_is_refused_with_the_formats_that_it_runs():
    with pytest.raises(
        BackendError, match=r"model.yaml: files: the tensorrt backend needs a file of format tensor"
    ):
        open_backend(MODEL, "tensorrt")
