"""Small networks in the formats that TensorFlow writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.backends import open_file
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import SceneSequence
from jetson_detect.share import find_model

Tensors = dict[str, np.ndarray]
Infer = Callable[[str, ModelFile, Tensors], Tensors]
FORMATS = {
    "variable_saved_model": Format.SAVED_MODEL,
    "keras": Format.KERAS,
    "frozen_graph": Format.FROZEN_GRAPH,
}


@dataclass(frozen=True)
class Answered:
    """A file of the demo model, and what it answers to the first of the frames."""

    source: ModelFile
    outputs: Tensors


@pytest.fixture(scope="session")
def frames() -> list[Tensors]:
    """Pictures of scenes as the demo model takes them."""
    model = load_model(find_model("demo"))
    with open_file("onnxruntime", model.files_for([Format.ONNX])[0]) as backend:
        preprocess = Preprocessor(model.input, backend.description.inputs[0])
    scenes = SceneSequence(seed=0, width=320, height=240)
    pictures = (scenes.frame(index).image for index in range(0, 360, 30))
    return [{"image": np.array(preprocess(Pixels.from_array(each))[0])} for each in pictures]


@pytest.fixture(scope="session")
def demo(demo_exports, infer, frames) -> Callable[[str], Answered]:
    """Return a file of the demo model by the name in DemoExports, and its answer."""
    answered: dict[str, Answered] = {}

    def answer(name: str) -> Answered:
        if name not in answered:
            source = ModelFile(FORMATS[name], getattr(demo_exports, name))
            answered[name] = Answered(source, infer("tensorflow", source, frames[0]))
        return answered[name]

    return answer


@pytest.fixture(scope="session")
def infer() -> Infer:
    """Run a file once, by the name of a backend."""

    def run(backend: str, file: ModelFile, inputs: Tensors) -> Tensors:
        with open_file(backend, file) as opened:
            assert {info.name for info in opened.description.inputs} == set(inputs)
            outputs = opened.run(inputs)
            assert {info.name for info in opened.description.outputs} == set(outputs)
            return {name: np.array(value) for name, value in outputs.items()}

    return run


@pytest.fixture
def saved_model(tf, tmp_path: Path) -> Callable[..., ModelFile]:
    """Write a function of tensors, given as (shape, dtype) by name, as a SavedModel."""

    def save(function: Callable[..., Any], **inputs: tuple[Any, str]) -> ModelFile:
        specs = {name: tf.TensorSpec(*spec, name=name) for name, spec in inputs.items()}
        concrete = tf.function(function).get_concrete_function(**specs)
        module = tf.Module()
        module.held = [concrete, *concrete.graph.variables]
        tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": concrete})
        return ModelFile(Format.SAVED_MODEL, tmp_path / "model")

    return save


@pytest.fixture
def graph_file(tf, tmp_path: Path) -> Callable[..., ModelFile]:
    """Write what a function puts into a graph as a frozen graph."""

    def write(build: Callable[[], object], **tensors: str) -> ModelFile:
        with tf.Graph().as_default() as graph:
            build()
        path = tmp_path / "graph.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
        return ModelFile(Format.FROZEN_GRAPH, path, tensors=tensors)

    return write


@pytest.fixture
def suppressing(tf, saved_model) -> ModelFile:
    """A detector of bytes in any size, which suppresses inside: 20 boxes of (1, 8, 6) cells."""
    kernel = np.random.default_rng(2).normal(0, 1, (3, 3, 3, 5)).astype(np.float32)

    def detect(input_tensor):
        cells = tf.nn.conv2d(tf.cast(input_tensor, tf.float32) / 255.0, kernel, 2, "SAME")
        values = tf.reshape(cells, [-1, 5])
        corner = tf.sigmoid(values[:, :2])
        boxes = tf.concat([corner, corner + 0.1 + 0.2 * tf.sigmoid(values[:, 2:4])], -1)
        kept, scores, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=boxes,
            scores=tf.sigmoid(values[:, 4]),
            max_output_size=20,
            iou_threshold=0.5,
            score_threshold=0.3,
            soft_nms_sigma=0.0,
            pad_to_max_output_size=True,
        )
        return {
            "detection_boxes": tf.gather(boxes, kept)[None],
            "detection_scores": scores[None],
            "num_detections": tf.cast(count, tf.float32)[None],
        }

    return saved_model(detect, input_tensor=([1, None, None, 3], "uint8"))
