"""The demo model in the formats that only TensorFlow writes, each made once, when asked for."""

from __future__ import annotations

import gc
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.share import find_model

_ROOT = Path(__file__).resolve().parents[2]


class DemoExports:
    """Files of the demo model; TensorFlow takes a second and more for most of them."""

    def __init__(self, tf: Any, training: Any, folder: Path) -> None:
        self._tf, self._training, self._folder = tf, training, folder
        self.keras = find_model("demo") / "demo.keras"

    @cached_property
    def saved_model(self) -> Path:
        """Weights are constants; the batch is 1."""
        path = self._folder / "saved_model"
        self._training.write_saved_model(self._network, path)
        return path

    @cached_property
    def variable_saved_model(self) -> Path:
        """As Keras exports it: weights are variables, the batch is free."""
        path = self._folder / "variable_saved_model"
        self._network.export(str(path), verbose=False)
        return path

    @cached_property
    def frozen_graph(self) -> Path:
        path = self._folder / "demo.pb"
        self._training.write_frozen_graph(self._network, path)
        return path

    @cached_property
    def variable_tflite(self) -> Path:
        """The converter's fault, in a small network: weights in variables that nobody fills."""
        import keras

        layers = [keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]
        saved = str(self._folder / "keras_saved_model")
        self._tf.saved_model.save(keras.Sequential(layers), saved)
        path = self._folder / "variables.tflite"
        path.write_bytes(self._tf.lite.TFLiteConverter.from_saved_model(saved).convert())
        return path

    @cached_property
    def _network(self) -> Any:
        import keras

        return keras.saving.load_model(self.keras)


@pytest.fixture(scope="session")
def tf() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    gc.freeze()  # each backend that is closed collects garbage: not among TensorFlow's modules
    return tensorflow


@pytest.fixture(scope="session")
def demo_exports(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> DemoExports:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_ROOT))  # training/ is not installed with the package
        from training import export
    return DemoExports(tf, export, tmp_path_factory.mktemp("demo"))
