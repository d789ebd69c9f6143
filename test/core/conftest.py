"""Heads for outputs that are made up, and the demo model in the formats that TensorFlow writes."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads import Head, make_head
from jetson_detect.core.model import load_model
from jetson_detect.share import find_model

_ROOT = Path(__file__).resolve().parents[2]
HeadFactory = Callable[..., Head]


class DemoExports:
    """Files of the demo model, each made once, when asked for: most take a second and more."""

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


@pytest.fixture
def head_for(tmp_path: Path) -> HeadFactory:
    """Make ``head_for(type, shapes by part, labels=, size=, layout=, **options)``.

    Each output is called like its part; the model has as many labels as are asked for.
    """

    def make(
        kind: str,
        shapes: Mapping[str, Sequence[int | None]],
        labels: int = 3,
        size: tuple[int, int] = (640, 480),
        layout: str = "NCHW",
        **options: Any,
    ) -> Head:
        width, height = size
        document = {
            "name": "made up",
            "license": "Apache-2.0",
            "files": [{"format": "onnx", "path": "net.onnx"}],
            "input": {"width": width, "height": height, "layout": layout, "color_order": "RGB"},
            "head": {"type": kind, "outputs": {part: part for part in shapes}, **options},
            "labels": [f"class {index}" for index in range(labels)],
        }
        (tmp_path / "net.onnx").write_bytes(b"")
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(document))
        outputs = {
            part: TensorInfo(part, tuple(shape), np.dtype(np.float32))
            for part, shape in shapes.items()
        }
        return make_head(load_model(tmp_path), outputs)

    return make
