"""Write the trained network in the formats that the backends read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from training.targets import INPUT_SIDE

OUTPUT_NAMES = ("heatmap", "offset", "size")
ONNX_OPSET = 17


class _Frozen(tf.Module):  # type: ignore[misc]
    """A network whose weights are constants of its graph.

    A Keras 3 model that is saved as it is turns into a TFLite file that reads its weights from
    variables which nobody fills. With constants there is nothing to go missing.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        signature = tf.TensorSpec([1, INPUT_SIDE, INPUT_SIDE, 3], tf.float32, name="image")

        def run(image: Any) -> Any:
            outputs = model(image, training=False)
            return tuple(tf.identity(outputs[name], name=name) for name in OUTPUT_NAMES)

        self.graph = convert_variables_to_constants_v2(
            tf.function(run, input_signature=[signature]).get_concrete_function()
        )

        def serve(image: Any) -> Any:
            outputs = self.graph(image)
            return {
                name: tf.identity(output, name=name) for name, output in zip(OUTPUT_NAMES, outputs)
            }

        self.serve = tf.function(serve, input_signature=[signature])


def write_saved_model(model: keras.Model, folder: Path) -> None:
    """Write ``model`` to ``folder`` as a SavedModel with a ``serving_default`` signature."""
    frozen = _Frozen(model)
    tf.saved_model.save(frozen, str(folder), signatures={"serving_default": frozen.serve})


def write_frozen_graph(model: keras.Model, path: Path) -> None:
    """Write ``model`` as a GraphDef of constants: ``image`` in, :data:`OUTPUT_NAMES` out."""
    definition = _Frozen(model).graph.graph.as_graph_def()
    # Without the nodes that the function itself adds to return the outputs.
    definition = tf.compat.v1.graph_util.extract_sub_graph(definition, list(OUTPUT_NAMES))
    path.write_bytes(definition.SerializeToString(deterministic=True))


def write_tflite(model: keras.Model, path: Path) -> None:
    """Write ``model`` in 32-bit floating point."""
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(model, Path(folder))
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def write_tflite_int8(model: keras.Model, path: Path, calibration: NDArray[np.uint8]) -> None:
    """Write ``model`` with 8-bit weights, activations, input and outputs.

    Args:
        model: the network.
        path: of the file.
        calibration: ``(N, 160, 160, 3)`` ``uint8`` RGB, from which the ranges are read.
    """

    def pictures() -> Iterator[dict[str, NDArray[np.float32]]]:
        for picture in calibration:
            yield {"image": picture[None].astype(np.float32) / np.float32(255.0)}

    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(model, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = pictures
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        path.write_bytes(converter.convert())


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write ``model`` as ONNX; the input stays ``(1, 160, 160, 3)``."""
    import onnx
    import tf2onnx

    signature = tf.TensorSpec([1, INPUT_SIDE, INPUT_SIDE, 3], tf.float32, name="image")
    frozen = _Frozen(model)
    proto, _ = tf2onnx.convert.from_function(
        frozen.serve, input_signature=[signature], opset=ONNX_OPSET
    )
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))


Runner = Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]


def run_keras(model: keras.Model) -> Runner:
    """Return a function that runs ``model`` itself."""
    call = tf.function(lambda image: model(image, training=False))

    def run(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {name: output.numpy() for name, output in call(tf.constant(image)).items()}

    return run


def run_tflite(path: Path) -> Runner:
    """Return a function that runs the TFLite file at ``path``, quantised or not."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    runner = interpreter.get_signature_runner("serving_default")
    into = runner.get_input_details()["image"]
    out = runner.get_output_details()

    def run(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        scale, zero = into["quantization"]
        given: NDArray[Any] = image
        if scale:
            given = np.clip(np.rint(image / scale) + zero, -128, 127).astype(into["dtype"])
        outputs = {}
        for name, values in runner(image=given).items():
            scale, zero = out[name]["quantization"]
            outputs[name] = values.astype(np.float32)
            if scale:
                outputs[name] = (outputs[name] - zero) * np.float32(scale)
        return outputs

    return run


def run_onnx(path: Path) -> Runner:
    """Return a function that runs the ONNX file at ``path``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        values = session.run(list(OUTPUT_NAMES), {"image": image})
        return dict(zip(OUTPUT_NAMES, values))

    return run
