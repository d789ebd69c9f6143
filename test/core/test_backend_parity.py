"""The demo model answers alike, whatever its format and whoever runs it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jetson_detect.core.backends import open_backend
from jetson_detect.core.detector import Detector
from jetson_detect.core.model import Format, ModelFile, ModelSpec, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.core.selection import Selection
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
SCENES = [
    Pixels.from_array(SceneSequence(seed=seed, width=width, height=height).frame(30).image)
    for seed, width, height in ((11, 640, 480), (12, 1280, 720), (13, 160, 160))
]
SELECTION = Selection.from_thresholds(MODEL.thresholds)

BACKENDS = {
    "tflite": ("tflite", Format.TFLITE),
    "SavedModel": ("tensorflow", Format.SAVED_MODEL),
    "SavedModel with variables": ("tensorflow", Format.SAVED_MODEL),
    "Keras": ("tensorflow", Format.KERAS),
    "frozen graph": ("tensorflow", Format.FROZEN_GRAPH),
    "onnxruntime": ("onnxruntime", Format.ONNX),
}


@pytest.fixture(params=list(BACKENDS))
def way(request: pytest.FixtureRequest) -> tuple[str, ModelSpec]:
    """The name of a backend, and the demo model with one file, which that backend runs."""
    backend, kind = BACKENDS[request.param]
    if backend == "tensorflow":
        exports = request.getfixturevalue("demo_exports")
        path = {
            "SavedModel": exports.saved_model,
            "SavedModel with variables": exports.variable_saved_model,
            "Keras": exports.keras,
            "frozen graph": exports.frozen_graph,
        }[request.param]
        file = ModelFile(kind, path)
    else:
        file = MODEL.files_for([kind])[0]
    return backend, replace(MODEL, files=(file,))


@pytest.fixture(scope="module")
def reference() -> list[dict[str, np.ndarray]]:
    """Outputs for each scene, by ONNX Runtime without any code of ours but the preprocessing."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    (file,) = MODEL.files_for([Format.ONNX])
    session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with open_backend(MODEL, "onnxruntime") as backend:
        preprocess = Preprocessor(MODEL.input, backend.description.inputs[0])
    return [dict(zip(names, session.run(names, {"image": preprocess(s)[0]}))) for s in SCENES]


def test_outputs_are_those_of_the_reference(way, reference):
    name, model = way
    with open_backend(model, name) as backend:
        (info,) = backend.description.inputs
        assert {info.name for info in backend.description.outputs} == {"heatmap", "offset", "size"}
        preprocess = Preprocessor(model.input, info)
        for scene, expected in zip(SCENES, reference):
            outputs = backend.run({"image": preprocess(scene)[0]})
            assert set(outputs) == set(expected)
            for output, values in outputs.items():
                np.testing.assert_allclose(values, expected[output], rtol=0, atol=1e-4)


def test_detections_are_those_of_onnx_runtime(way):
    name, model = way
    with (
        Detector(MODEL, open_backend(MODEL, "onnxruntime")) as reference,
        Detector(model, open_backend(model, name)) as detector,
    ):
        for scene in SCENES:
            expected, found = (each.detect(scene, SELECTION) for each in (reference, detector))
            assert len(expected.boxes) > 0
            np.testing.assert_array_equal(found.class_ids, expected.class_ids)
            np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-3)
            np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-4)
