"""The demo model in the formats that only TensorFlow writes, made once for a session."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.share import find_model

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class DemoExports:
    keras: Path
    saved_model: Path
    """Weights are constants; the batch is 1."""
    variable_saved_model: Path
    """As Keras exports it: weights are variables, the batch is free."""
    frozen_graph: Path
    variable_tflite: Path
    """The converter's fault: weights in variables that nobody fills."""


@pytest.fixture(scope="session")
def tf() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


@pytest.fixture(scope="session")
def demo_exports(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> DemoExports:
    import keras

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_ROOT))  # training/ is not installed with the package
        from training import export
    folder = tmp_path_factory.mktemp("demo")
    exports = DemoExports(
        keras=find_model("demo") / "demo.keras",
        saved_model=folder / "saved_model",
        variable_saved_model=folder / "variable_saved_model",
        frozen_graph=folder / "demo.pb",
        variable_tflite=folder / "variables.tflite",
    )
    model = keras.saving.load_model(exports.keras)
    export.write_saved_model(model, exports.saved_model)
    export.write_frozen_graph(model, exports.frozen_graph)
    model.export(str(exports.variable_saved_model), verbose=False)
    keras_saved = str(folder / "keras_saved_model")
    tf.saved_model.save(model, keras_saved)
    converted = tf.lite.TFLiteConverter.from_saved_model(keras_saved).convert()
    exports.variable_tflite.write_bytes(converted)
    return exports
