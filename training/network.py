"""The network: a small anchor-free detector after "Objects as Points" (Zhou et al. 2019).

Depthwise separable convolutions go down to a stride of 16 and come up again to a stride of 4,
with the finer features added on the way. ReLU6 bounds every activation, which keeps the loss of
8-bit quantisation small.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from training.targets import INPUT_SIDE

HEATMAP_PRIOR = -4.0
"""Bias of the heatmap at the start: almost every cell is empty."""


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.98, epsilon=1e-3, name=f"{name}_norm")(x)


def _bounded(x: Any, name: str) -> Any:
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x)


def _pointwise(x: Any, channels: int, name: str) -> Any:
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_mix")(x)
    return _norm(x, f"{name}_mix")


def _block(x: Any, channels: int, name: str, stride: int = 1) -> Any:
    """Filter each channel on its own (3 x 3), mix the channels, and add the input if it fits."""
    y = layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, name=f"{name}_filter"
    )(x)
    y = _bounded(_norm(y, f"{name}_filter"), f"{name}_filter")
    y = _pointwise(y, channels, name)
    if stride == 1 and x.shape[-1] == channels:
        y = layers.Add(name=f"{name}_add")([x, y])
    return _bounded(y, name)


def _up(x: Any, finer: Any, channels: int, name: str) -> Any:
    """Double the resolution of ``x`` and add the ``finer`` features, both as ``channels``."""
    x = _pointwise(x, channels, f"{name}_coarse")
    x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_double")(x)
    finer = _pointwise(finer, channels, f"{name}_fine")
    return _bounded(layers.Add(name=f"{name}_add")([x, finer]), name)


def _head(x: Any, channels: int, bias: float, name: str, activation: str | None = None) -> Any:
    """Return an output that starts as ``bias`` almost everywhere."""
    return layers.Conv2D(
        channels,
        1,
        activation=activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
    )(x)


def build(classes: int) -> keras.Model:
    """Return the network.

    Its input ``image`` is ``(batch, 160, 160, 3)`` ``float32`` RGB in 0..1. Its outputs are a
    dictionary, all ``float32`` of 40 x 40 cells: ``heatmap`` ``(..., classes)`` in 0..1,
    ``offset`` ``(..., 2)`` as dx, dy in cells, ``size`` ``(..., 2)`` as the logarithm of width
    and height in cells.
    """
    image = keras.Input((INPUT_SIDE, INPUT_SIDE, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = _bounded(_norm(x, "stem"), "stem")
    x = _block(x, 32, "down4", stride=2)
    stride4 = _block(x, 32, "at4_1")
    x = _block(stride4, 64, "down8", stride=2)
    x = _block(x, 64, "at8_1")
    stride8 = _block(x, 64, "at8_2")
    x = _block(stride8, 160, "down16", stride=2)
    for number in range(1, 6):
        x = _block(x, 160, f"at16_{number}")
    x = _up(x, stride8, 72, "up8")
    x = _block(x, 72, "up8_1")
    x = _block(x, 72, "up8_2")
    x = _up(x, stride4, 40, "up4")
    x = _block(x, 40, "up4_1")

    what = _block(x, 40, "what")
    where = _block(x, 40, "where")
    outputs = {
        "heatmap": _head(what, classes, HEATMAP_PRIOR, "heatmap", "sigmoid"),
        "offset": _head(where, 2, 0.5, "offset"),
        "size": _head(where, 2, 1.8, "size"),
    }
    return keras.Model(image, outputs, name="jetson_detect_demo")
