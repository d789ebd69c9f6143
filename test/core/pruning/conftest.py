from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jetson_detect.core.pruning import TrainingSetup

BATCH = 4


@pytest.fixture(scope="session")
def keras(tf: Any) -> Any:
    import keras

    return keras


@pytest.fixture
def model(keras: Any) -> Any:
    """Every kind of layer once; the kernels that are pruned by default: middle, wide, sep."""
    keras.utils.set_random_seed(5)
    image = keras.Input((6, 6, 4), name="image")
    x = keras.layers.Conv2D(8, 3, padding="same", name="first")(image)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="filter")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(10, 1, name="middle")(x)
    x = keras.layers.Conv2D(12, 3, name="wide")(keras.ops.relu(x))
    x = keras.layers.SeparableConv2D(8, 3, name="sep")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, keras.layers.Dense(2, name="last")(x), name="tiny")


def batches(steps: int) -> Any:
    rng = np.random.default_rng(3)
    for _ in range(steps):
        yield rng.normal(size=(BATCH, 6, 6, 4)).astype(np.float32), np.ones((BATCH, 2), np.float32)


def mean_weight(model: Any) -> dict[str, float]:
    """Judge a model by something that changes with it and is known exactly."""
    return {"mean weight": float(np.mean(np.abs(model.get_layer("wide").kernel)))}


@pytest.fixture
def setup(keras: Any) -> Callable[..., TrainingSetup]:
    def make(
        trainer: Any,
        steps: int = 10,
        epochs: int = 2,
        optimizer: Any = None,
        batches_given: int = 1000,
        **compiled: Any,
    ) -> TrainingSetup:
        # Large steps: what is pruned would not stay near zero by itself.
        optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
        # Tracing a graph takes longer than these few batches.
        trainer.compile(optimizer, loss="mse", **{"run_eagerly": True, **compiled})
        return TrainingSetup(trainer, batches(batches_given), steps, epochs, mean_weight)

    return make
