#!/usr/bin/env python3
"""Write detection networks of real size with random weights, as ONNX.

Usage: random_networks.py yolo|ssd [--size 640] [--output x.onnx | --folder MODEL]

They find nothing, but take the time and the operations of real ones, so that backends can be
compared, measured and broken without anybody's weights.  ``yolo`` is built like YOLOv8n
(``ultralytics/cfg/models/v8/yolov8.yaml``, https://github.com/ultralytics/ultralytics), ``ssd``
like SSD on MobileNet v2 (``ssd_mobilenet_v2_coco.config``,
https://github.com/tensorflow/models/tree/master/research/object_detection).

The weights are normal, after He et al. 2015 ("Delving Deep into Rectifiers"), and scaled layer by
layer by what a few noise pictures make there (Mishkin and Matas: "All you need is a good init",
2016): over this many layers the formula alone lets values grow beyond FP16.  A few candidates in a
hundred score more than 0.25 in any picture.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""The newest that TensorRT 8.5 and 8.6 parse."""
IR_VERSION = 8
"""The one of opset 17; ONNX Runtime 1.15 refuses newer ones than 9."""
STRIDE = 32
"""Sizes of inputs are multiples of it."""
SCORE = 0.25
SHARE_ABOVE_SCORE = 0.01
"""The share of candidates whose best class scores more than :data:`SCORE`, in noise."""
YOLO_CLASSES = 80
SSD_CLASSES = 90
"""Without the background."""

_YOLO_STRIDES = (8, 16, 32)
_BOX_BINS = 16
"""Each side of a YOLO box is the mean of a distribution over this many cells."""
_SIDE_SPREAD = 1.5
_CLASS_SPREAD = 1.5
_SSD_SHAPES = (3, 6, 6, 6, 6, 6)
"""Anchors of a cell, by feature map."""

_PICTURES = 4
_SEEN = slice(_PICTURES // 2)
"""The pictures that weights follow from."""
_UNSEEN = slice(_PICTURES // 2, None)
"""Those that tell how many candidates there are in other pictures."""
_PICTURE_SIZE = 256
"""Pixels; with less, the borders of maps tell too much."""

Samples = NDArray[np.float64]
"""(pictures, C, h, w).  In double precision, so that what follows from them, rounded, is the same
on every machine."""


class SizeError(ValueError):
    """A size of input that a network cannot have."""


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor (N, C, h, w) of the network."""

    name: str
    samples: Samples
    """Its values for the noise pictures."""

    @property
    def channels(self) -> int:
        """C."""
        return int(self.samples.shape[1])


@dataclass(frozen=True)
class Activation:
    """A function behind a convolution, as nodes and in NumPy."""

    append: Callable[[NetworkBuilder, str], str]
    apply: Callable[[Samples], Samples]
    spread: float
    """Of what it is given.  Where the function bends only a little, small changes of a picture,
    and the rounding of FP16, stay small through all layers."""


class NetworkBuilder:
    """Collects the nodes and weights of one graph."""

    def __init__(self, seed: int) -> None:
        """Start an empty graph whose weights follow from the seed."""
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        # The one generator of which NumPy promises that its numbers never change.
        self._random = np.random.RandomState(seed)

    def node(self, operation: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node with one output; return the output's name."""
        return self.nodes(operation, inputs, 1, **attributes)[0]

    def nodes(
        self, operation: str, inputs: Sequence[str], count: int, **attributes: Any
    ) -> list[str]:
        """Append a node with ``count`` outputs; return their names."""
        name = f"{operation.lower()}_{len(self._nodes)}"
        outputs = [name] if count == 1 else [f"{name}_{index}" for index in range(count)]
        self._nodes.append(helper.make_node(operation, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, values: Any, dtype: type[np.generic] = np.int64) -> str:
        """Add a constant, once for each value; return its name."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._store(f"constant_{len(self._constants)}", array)
        return self._constants[key]

    def pictures(self, name: str, low: float, high: float) -> Signal:
        """Noise, coarse and fine, as what the tensor of this name holds; from low to high."""
        random = self._random
        pictures = np.zeros((_PICTURES, 3, _PICTURE_SIZE, _PICTURE_SIZE))
        for cell in 2 ** np.arange(7):
            cells = random.standard_normal((_PICTURES, 3, *[_PICTURE_SIZE // cell] * 2))
            # Each picture is finer or coarser than the next.
            share = random.standard_normal((_PICTURES, 1, 1, 1))
            pictures += share * cells.repeat(cell, axis=2).repeat(cell, axis=3)
        pictures *= 0.25 / pictures.std(axis=(1, 2, 3), keepdims=True)
        return Signal(name, np.clip(pictures + 0.5, 0, 1) * (high - low) + low)

    def convolution(
        self,
        signal: Signal,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        activation: Activation | None = None,
        *,
        depthwise: bool = False,
        spread: float = 1.0,
    ) -> Signal:
        """Append a convolution.

        With an activation it has no bias, and the spread that the activation wants; else each
        channel has mean 0 and ``spread``.
        """
        groups = signal.channels if depthwise else 1
        weights = self._random.standard_normal(
            (channels, signal.channels // groups, kernel, kernel)
        )
        samples = _convolve(signal.samples, weights, stride)
        mean = np.zeros(channels)
        # A map of one cell has nothing but its mean.
        if activation is None and samples[0, 0].size > 1:
            mean = samples[_SEEN].mean(axis=(0, 2, 3))
            samples -= mean[:, None, None]
        scale = _rounded((activation.spread if activation else spread) / samples[_SEEN].std())
        weights, bias = weights * scale, _rounded(-mean * scale)
        name = f"conv_{len(self._nodes)}"
        output = self.node(
            "Conv",
            [
                signal.name,
                self._store(f"{name}.weight", weights.astype(np.float32)),
                self._store(f"{name}.bias", bias.astype(np.float32)),
            ],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=groups,
        )
        samples *= scale
        if activation is None:
            return Signal(output, samples)
        return Signal(activation.append(self, output), activation.apply(samples))

    def class_logits(
        self, signal: Signal, classes: int, shapes: int = 1, kernel: int = 1, background: int = 0
    ) -> Signal:
        """Append a convolution to class logits, (N, shapes * (background + classes), h, w).

        Of the candidates of the noise pictures, :data:`SHARE_ABOVE_SCORE` reach :data:`SCORE`.
        """
        depth = background + classes
        logits = self.convolution(signal, shapes * depth, kernel, spread=_CLASS_SPREAD)
        samples = logits.samples[_UNSEEN]
        by_anchor = samples.reshape(len(samples), shapes, depth, *samples.shape[2:])
        best = by_anchor[:, :, background:].max(axis=2)
        reached = np.quantile(best, 1 - SHARE_ABOVE_SCORE)
        bias = np.full(
            (1, logits.channels, 1, 1), _rounded(math.log(SCORE / (1 - SCORE)) - reached)
        )
        shifted = self.node("Add", [logits.name, self.constant(bias, np.float32)])
        return Signal(shifted, logits.samples + bias)

    def add(self, first: Signal, second: Signal) -> Signal:
        """Append a sum."""
        return Signal(self.node("Add", [first.name, second.name]), first.samples + second.samples)

    def concatenate(self, signals: Sequence[Signal]) -> Signal:
        """Append a concatenation of channels."""
        return Signal(
            self.node("Concat", [signal.name for signal in signals], axis=1),
            np.concatenate([signal.samples for signal in signals], axis=1),
        )

    def halves(self, signal: Signal) -> list[Signal]:
        """Append a split of the channels in two."""
        half = signal.channels // 2
        names = self.nodes("Split", [signal.name, self.constant([half, half])], 2, axis=1)
        return [
            Signal(name, samples)
            for name, samples in zip(names, np.split(signal.samples, 2, axis=1))
        ]

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> onnx.ModelProto:
        """Close the graph.

        Parameters
        ----------
        name:
            Of the graph.
        inputs:
            Shapes by name; a word stands for any size.
        outputs:
            By name: the tensor that it is, and its shape.

        """
        for output, (tensor, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor], [output], name=output))
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(*_float(key, shape)) for key, shape in inputs.items()],
            [
                helper.make_tensor_value_info(*_float(key, shape))
                for key, (_, shape) in outputs.items()
            ],
            self._weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="jetson_detect",
        )
        onnx.checker.check_model(model)
        return model

    def _store(self, name: str, array: NDArray[Any]) -> str:
        self._weights.append(numpy_helper.from_array(array, name))
        return name


def _float(name: str, shape: Sequence[int | str]) -> tuple[str, int, Sequence[int | str]]:
    return name, TensorProto.FLOAT, shape


def _append_silu(net: NetworkBuilder, tensor: str) -> str:
    return net.node("Mul", [tensor, net.node("Sigmoid", [tensor])])


def _append_relu6(net: NetworkBuilder, tensor: str) -> str:
    limits = [net.constant(limit, np.float32) for limit in (0, 6)]
    return net.node("Clip", [tensor, *limits])


def _convolve(samples: Samples, weights: Samples, stride: int) -> Samples:
    """Convolve as ONNX does, padded by half the kernel; depthwise if the kernels have depth 1."""
    windows = _windows(samples, weights.shape[2], 0.0)[:, :, ::stride, ::stride]
    if weights.shape[1] == samples.shape[1]:
        result = np.tensordot(weights, windows, axes=((1, 2, 3), (1, 4, 5)))
        return np.ascontiguousarray(result.swapaxes(0, 1))
    convolved: Samples = np.einsum("nchwij,cij->nchw", windows, weights[:, 0])
    return convolved


def _windows(samples: Samples, kernel: int, padding: float) -> Samples:
    """What each cell sees, (pictures, C, h, w, kernel, kernel)."""
    edge = (kernel // 2,) * 2
    padded = np.pad(samples, ((0, 0), (0, 0), edge, edge), constant_values=padding)
    return np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))


def _rounded(values: Any) -> Any:
    """Forget the digits in which machines differ."""
    return np.round(values, 5)


_SILU = Activation(_append_silu, lambda x: x / (1 + np.exp(-x)), 8.0)
_RELU6 = Activation(_append_relu6, lambda x: np.clip(x, 0, 6), 2.0)


def yolo(
    size: int = 640, classes: int = YOLO_CLASSES, seed: int = 0, *, dynamic: bool = False
) -> onnx.ModelProto:
    """Build a network like YOLOv8n, batch normalisation folded.

    Input ``images`` (1, 3, size, size), RGB from 0 to 1.  Output ``output0``
    (1, 4 + classes, N): centre x, y, width, height in pixels, then the scores; N is 8400 at 640.

    Parameters
    ----------
    size:
        Width and height of the input.
    classes:
        How many.
    seed:
        The same one gives the same weights.
    dynamic:
        Leave batch, height and width of the input open; both are multiples of 32.

    Raises
    ------
    SizeError
        If size is not a positive multiple of 32.

    """
    _check_size(size)
    net = NetworkBuilder(seed)
    signal = _silu(net, net.pictures("images", 0, 1), 16, 3, 2)
    signal = _silu(net, signal, 32, 3, 2)
    signal = _c2f(net, signal, 32, 1)
    fine = _c2f(net, _silu(net, signal, 64, 3, 2), 64, 2)
    middle = _c2f(net, _silu(net, fine, 128, 3, 2), 128, 2)
    coarse = _c2f(net, _silu(net, middle, 256, 3, 2), 256, 1)
    coarse = _sppf(net, coarse)
    middle = _c2f(net, net.concatenate([_upsample(net, coarse), middle]), 128, 1, shortcut=False)
    fine = _c2f(net, net.concatenate([_upsample(net, middle), fine]), 64, 1, shortcut=False)
    down = _silu(net, fine, 64, 3, 2)
    middle = _c2f(net, net.concatenate([down, middle]), 128, 1, shortcut=False)
    down = _silu(net, middle, 128, 3, 2)
    coarse = _c2f(net, net.concatenate([down, coarse]), 256, 1, shortcut=False)
    levels = (fine, middle, coarse)

    maps = []
    for level in levels:
        sides = _silu(net, _silu(net, level, 64, 3), 64, 3)
        sides = net.convolution(sides, 4 * _BOX_BINS, spread=_SIDE_SPREAD)
        width = max(64, min(classes, 100))
        scores = _silu(net, _silu(net, level, width, 3), width, 3)
        scores = net.class_logits(scores, classes)
        maps.append(net.concatenate([sides, scores]))
    flat = [net.node("Reshape", [m.name, net.constant([0, m.channels, -1])]) for m in maps]
    table = net.node("Concat", flat, axis=2)
    split = net.constant([4 * _BOX_BINS, classes])
    sides_logits, class_logits = net.nodes("Split", [table, split], 2, axis=1)
    if dynamic:
        centers, strides = _cells_in_graph(net, [m.name for m in maps])
    else:
        centers, strides = _cells(net, size)
    boxes = _decode_sides(net, sides_logits, centers, strides)
    output = net.node("Concat", [boxes, net.node("Sigmoid", [class_logits])], axis=1)
    count = sum((size // stride) ** 2 for stride in _YOLO_STRIDES)
    return net.model(
        f"random_yolo_{size}",
        {"images": ["batch", 3, "height", "width"] if dynamic else [1, 3, size, size]},
        {
            "output0": (
                output,
                ["batch", 4 + classes, "candidates"] if dynamic else [1, 4 + classes, count],
            )
        },
    )


def _silu(
    net: NetworkBuilder, signal: Signal, channels: int, kernel: int = 1, stride: int = 1
) -> Signal:
    return net.convolution(signal, channels, kernel, stride, _SILU)


def _c2f(
    net: NetworkBuilder, signal: Signal, channels: int, repeats: int, *, shortcut: bool = True
) -> Signal:
    """Append YOLOv8's cross stage block: each bottleneck's values reach the end."""
    parts = net.halves(_silu(net, signal, channels))
    for _ in range(repeats):
        inner = _silu(net, _silu(net, parts[-1], channels // 2, 3), channels // 2, 3)
        parts.append(net.add(parts[-1], inner) if shortcut else inner)
    return _silu(net, net.concatenate(parts), channels)


def _sppf(net: NetworkBuilder, signal: Signal) -> Signal:
    """Append spatial pyramid pooling: maxima over 5, 9 and 13 cells."""
    parts = [_silu(net, signal, signal.channels // 2)]
    for _ in range(3):
        pooled = net.node(
            "MaxPool", [parts[-1].name], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4
        )
        samples = _windows(parts[-1].samples, 5, -np.inf).max(axis=(4, 5))
        parts.append(Signal(pooled, samples))
    return _silu(net, net.concatenate(parts), signal.channels)


def _upsample(net: NetworkBuilder, signal: Signal) -> Signal:
    scales = net.constant([1, 1, 2, 2], np.float32)
    resized = net.node(
        "Resize",
        [signal.name, "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return Signal(resized, signal.samples.repeat(2, axis=2).repeat(2, axis=3))


def _cells(net: NetworkBuilder, size: int) -> tuple[str, str]:
    """Constants: the centres of all cells, (2, N), in cells, and their strides, (1, N)."""
    grids = [np.indices((size // stride,) * 2)[::-1].reshape(2, -1) for stride in _YOLO_STRIDES]
    strides = [np.full((1, grid.shape[1]), s) for s, grid in zip(_YOLO_STRIDES, grids)]
    return (
        net.constant(np.concatenate(grids, axis=1) + 0.5, np.float32),
        net.constant(np.concatenate(strides, axis=1), np.float32),
    )


def _cells_in_graph(net: NetworkBuilder, maps: Sequence[str]) -> tuple[str, str]:
    """What :func:`_cells` does, by nodes that look at the sizes of the maps."""
    centers, strides = [], []
    zero, one = net.constant(0), net.constant(1)
    half = net.constant(0.5, np.float32)
    ends = [net.constant([2]), net.constant([4])]
    for tensor, stride in zip(maps, _YOLO_STRIDES):
        # Not with Shape's own start, which old parsers overlook.
        rows_columns = net.node("Slice", [net.node("Shape", [tensor]), *ends])
        axes = []
        for axis, unsqueezed in ((1, 0), (0, 1)):  # x runs along columns, y along rows
            count = net.node("Gather", [rows_columns, net.constant(axis)], axis=0)
            steps = net.node("Range", [zero, count, one])
            middle = net.node("Add", [net.node("Cast", [steps], to=TensorProto.FLOAT), half])
            line = net.node("Unsqueeze", [middle, net.constant([unsqueezed])])
            grid = net.node("Expand", [line, rows_columns])
            axes.append(net.node("Reshape", [grid, net.constant([1, -1])]))
        centers.append(net.node("Concat", axes, axis=0))
        shape = net.node("Shape", [axes[0]])
        strides.append(net.node("Expand", [net.constant([[stride]], np.float32), shape]))
    return net.node("Concat", centers, axis=1), net.node("Concat", strides, axis=1)


def _decode_sides(net: NetworkBuilder, logits: str, centers: str, strides: str) -> str:
    """Turn distributions of the four sides' distances, (n, 64, N), into boxes, (n, 4, N).

    Li et al.: Generalized Focal Loss, 2020, section 3.2.
    """
    bins = net.node("Reshape", [logits, net.constant([0, 4, _BOX_BINS, -1])])
    bins = net.node("Transpose", [bins], perm=[0, 2, 1, 3])
    weights = net.constant(np.arange(_BOX_BINS).reshape(1, -1, 1, 1), np.float32)
    distances = net.node("Conv", [net.node("Softmax", [bins], axis=1), weights])
    distances = net.node("Reshape", [distances, net.constant([0, 4, -1])])
    low, high = net.nodes("Split", [distances, net.constant([2, 2])], 2, axis=1)
    first = net.node("Sub", [centers, low])
    last = net.node("Add", [centers, high])
    center = net.node("Mul", [net.node("Add", [first, last]), net.constant(0.5, np.float32)])
    box = net.node("Concat", [center, net.node("Sub", [last, first])], axis=1)
    return net.node("Mul", [box, strides])


def ssd(
    size: int = 320, classes: int = SSD_CLASSES, seed: int = 0, *, dynamic: bool = False
) -> onnx.ModelProto:
    """Build a network like SSD on MobileNet v2, batch normalisation folded.

    Input ``image`` (1, size, size, 3), RGB from -1 to 1.  Outputs ``box_encodings`` (1, N, 4): ty,
    tx, th, tw relative to the anchors of ``ssd_anchor_generator``; ``class_logits``
    (1, N, 1 + classes), the background first; N is 2034 at 320.  Parameters and errors are those
    of :func:`yolo`.
    """
    _check_size(size)
    net = NetworkBuilder(seed)
    channels_first = net.node("Transpose", ["image"], perm=[0, 3, 1, 2])
    signal = net.convolution(net.pictures(channels_first, -1, 1), 32, 3, 2, _RELU6)
    signal, _ = _inverted_residual(net, signal, 16, 1, expansion=1)
    maps = []
    for channels, repeats, stride in (
        (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)
    ):  # fmt: skip
        for repeat in range(repeats):
            signal, expanded = _inverted_residual(
                net, signal, channels, stride if repeat == 0 else 1
            )
            if channels == 160 and repeat == 0:
                maps.append(expanded)
    maps.append(net.convolution(signal, 1280, activation=_RELU6))
    for channels in (512, 256, 256, 128):
        squeezed = net.convolution(maps[-1], channels // 2, activation=_RELU6)
        maps.append(net.convolution(squeezed, channels, 3, 2, _RELU6))

    boxes, scores = [], []
    for feature_map, shapes in zip(maps, _SSD_SHAPES):
        encodings = net.convolution(feature_map, 4 * shapes, 3)
        boxes.append(_by_anchor(net, encodings, 4))
        logits = net.class_logits(feature_map, classes, shapes, 3, background=1)
        scores.append(_by_anchor(net, logits, 1 + classes))
    count: int | str = "candidates"
    if not dynamic:
        count = sum(
            math.ceil(size / 2 ** (4 + level)) ** 2 * shapes
            for level, shapes in enumerate(_SSD_SHAPES)
        )
    batch = "batch" if dynamic else 1
    return net.model(
        f"random_ssd_{size}",
        {"image": ["batch", "height", "width", 3] if dynamic else [1, size, size, 3]},
        {
            "box_encodings": (net.node("Concat", boxes, axis=1), [batch, count, 4]),
            "class_logits": (net.node("Concat", scores, axis=1), [batch, count, 1 + classes]),
        },
    )


def _inverted_residual(
    net: NetworkBuilder, signal: Signal, channels: int, stride: int, expansion: int = 6
) -> tuple[Signal, Signal]:
    """Append MobileNet v2's block; return its output and the expanded values inside it."""
    expanded = signal
    if expansion > 1:
        expanded = net.convolution(signal, signal.channels * expansion, activation=_RELU6)
    inner = net.convolution(expanded, expanded.channels, 3, stride, _RELU6, depthwise=True)
    output = net.convolution(inner, channels)
    if stride == 1 and channels == signal.channels:
        output = net.add(signal, output)
    return output, expanded


def _by_anchor(net: NetworkBuilder, signal: Signal, depth: int) -> str:
    """Turn a map (n, A * depth, h, w) into rows (n, h * w * A, depth)."""
    channels_last = net.node("Transpose", [signal.name], perm=[0, 2, 3, 1])
    return net.node("Reshape", [channels_last, net.constant([0, -1, depth])])


def _check_size(size: int) -> None:
    if size < STRIDE or size % STRIDE:
        raise SizeError(f"size {size}: use a positive multiple of {STRIDE}")


@dataclass(frozen=True)
class Architecture:
    """A kind of network and what a ``model.yaml`` says about it."""

    build: Callable[..., onnx.ModelProto]
    size: int
    """The size of input that is usual."""
    classes: int
    input: Mapping[str, Any]
    head: Mapping[str, Any]


ARCHITECTURES: Mapping[str, Architecture] = {
    "yolo": Architecture(
        build=yolo,
        size=640,
        classes=YOLO_CLASSES,
        input={"name": "images", "layout": "NCHW", "mean": [0.0], "scale": [1 / 255]},
        head={"type": "yolov8", "outputs": {"predictions": "output0"}},
    ),
    "ssd": Architecture(
        build=ssd,
        size=320,
        classes=SSD_CLASSES,
        input={
            "name": "image",
            "layout": "NHWC",
            "mean": [127.5],
            "scale": [1 / 127.5],
            "resize": "stretch",
        },
        head={"type": "ssd", "outputs": {"boxes": "box_encodings", "scores": "class_logits"}},
    ),
}


def write_model_folder(
    folder: Path,
    architecture: str,
    size: int | None = None,
    classes: int | None = None,
    seed: int = 0,
    *,
    dynamic: bool = False,
) -> Path:
    """Write a whole model: the network and its ``model.yaml``.

    Parameters
    ----------
    folder:
        Where to; made if it is not there.
    architecture:
        A key of :data:`ARCHITECTURES`.
    size, classes, seed, dynamic:
        As for :func:`yolo`; the architecture's own where None.

    Returns
    -------
    The ``.onnx`` file.

    Raises
    ------
    SizeError
        As :func:`yolo`.

    """
    kind = ARCHITECTURES[architecture]
    size, classes = size or kind.size, classes or kind.classes
    model = kind.build(size, classes, seed, dynamic=dynamic)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{architecture}_{size}.onnx"
    onnx.save(model, str(path))
    document = {
        "name": f"random_{architecture}_{size}",
        "description": f"Random weights, seed {seed}: finds nothing, takes a real network's time.",
        "license": "Apache-2.0",
        "files": [{"format": "onnx", "path": path.name}],
        "input": {"width": size, "height": size, "color_order": "RGB", **kind.input},
        "head": dict(kind.head),
        "labels": [f"class_{index}" for index in range(classes)],
        "thresholds": {"score": SCORE},
    }
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("--size", type=int, help="width and height of the input in pixels")
    parser.add_argument("--classes", type=int, help="how many the network tells apart")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--dynamic", action="store_true", help="leave batch and size open")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--output", type=Path, help="the .onnx file to write")
    target.add_argument("--folder", type=Path, help="the model folder to write")
    options = parser.parse_args(arguments)
    kind = ARCHITECTURES[options.architecture]
    size, classes = options.size or kind.size, options.classes or kind.classes
    try:
        if options.folder is not None:
            path = write_model_folder(
                options.folder,
                options.architecture,
                size,
                classes,
                options.seed,
                dynamic=options.dynamic,
            )
        else:
            path = options.output
            onnx.save(kind.build(size, classes, options.seed, dynamic=options.dynamic), str(path))
    except (SizeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
