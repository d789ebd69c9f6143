"""SSD: class scores and boxes relative to anchors, before any suppression.

Liu et al.: SSD: Single Shot MultiBox Detector, 2016; boxes and anchors as the TensorFlow Object
Detection API writes them (``box_coders/faster_rcnn_box_coder.py``, ``anchor_generators``,
https://github.com/tensorflow/models/tree/master/research/object_detection).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.anchors import (
    Anchors,
    GridSizes,
    decode_boxes,
    grid_sizes,
    multiscale_anchors,
    ssd_anchors,
)
from jetson_detect.core.heads.boxes import BoxFormat, BoxReader, BoxUnits
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import require_parts, require_shape, shape_error
from jetson_detect.core.heads.scores import Activation, Background, find_survivors
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection

SCALE_FACTORS = (10.0, 10.0, 5.0, 5.0)
SSD_STRIDES = (16, 32, 64, 128, 256, 512)
"""Of the feature maps of SSD on MobileNet and Inception."""
SSD_SCALE_RANGE = (0.2, 0.95)
SSD_ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)
MULTISCALE_LEVELS = (3, 4, 5, 6, 7)
MULTISCALE_ASPECT_RATIOS = (1.0, 2.0, 0.5)


class SsdHead:
    """``boxes`` (1, N, 4): ty, tx, th, tw; ``scores`` (1, N, C), with or without a background.

    With the option ``decoded`` the boxes are no longer relative to anchors.
    """

    suppressed = False

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check the outputs and make the anchors.

        Raises
        ------
        ModelError
            Naming the output or option and what does not fit.

        """
        require_parts(model, outputs, ("boxes", "scores"))
        boxes, scores, labels = outputs["boxes"], outputs["scores"], len(model.labels)
        require_shape(model, "boxes", boxes, [(1, "N", 4)])
        require_shape(
            model,
            "scores",
            scores,
            [(1, "N", labels), (1, "N", labels + 1)],
            ", a score for each label and one for the background if there is",
        )
        has_background = len(scores.shape) == 3 and scores.shape[2] == labels + 1
        options = HeadOptions(model)
        self._activation = options.choice("activation", Activation.SIGMOID)
        self._background = options.choice(
            "background", Background.FIRST if has_background else Background.NONE
        )
        self._sieve = _sieve(labels, scores, self._activation, self._background)
        self._anchors: Anchors | None = None
        if options.flag("decoded", False):
            self._read_boxes = BoxReader.from_options(
                options, model.input, BoxFormat.XYXY, BoxUnits.NORMALIZED
            )
        else:
            self._scale_factors = options.numbers("scale_factors", SCALE_FACTORS, 4)
            self._anchors = _make_anchors(model, options.section("anchors"))
            count = boxes.shape[1] if boxes.shape else None
            if count not in (None, len(self._anchors)):
                raise shape_error(
                    model,
                    "boxes",
                    boxes,
                    f"there are {len(self._anchors)} anchors: correct head.anchors",
                )
        options.close()

    @property
    def sieve(self) -> Sieve | None:
        """See :attr:`jetson_detect.core.heads.base.SievedHead.sieve`."""
        return self._sieve

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.SievedHead.decode`."""
        found = find_survivors(
            outputs["scores"][0], selection, self._activation, self._background, among=among
        )
        (index,) = found.where
        rows = outputs["boxes"][0][index]
        if self._anchors is None:
            boxes = self._read_boxes(rows)
        else:
            boxes = decode_boxes(rows, self._anchors[index], self._scale_factors)
        return Candidates(boxes, found.scores, found.class_ids)


def _sieve(
    labels: int, scores: TensorInfo, activation: Activation, background: Background
) -> Sieve | None:
    """Compare the classes, or by how much they exceed the background."""
    columns = labels + (background is not Background.NONE)
    # Where a file tells no shape there may be a background that nobody knows of.
    known = len(scores.shape) == 3 and scores.shape[2] == columns
    softmax = activation is Activation.SOFTMAX
    if not known or (softmax and background is Background.NONE):
        return None
    first = 1 if background is Background.FIRST else 0
    subtracted = (0 if first else labels) if softmax else None
    return Sieve("scores", columns, first, labels, activation, subtracted, {"boxes": 4})


def count_default_anchors(input_size: tuple[int, int]) -> int:
    """How many anchors there are for an input (width, height) where no option says otherwise."""
    grids = grid_sizes(input_size, SSD_STRIDES)
    shapes = len(SSD_ASPECT_RATIOS) + 1
    return sum(
        rows * columns * (shapes if number else 3) for number, (rows, columns) in enumerate(grids)
    )


def _make_anchors(model: ModelSpec, options: HeadOptions | None) -> Anchors:
    options = options or HeadOptions(model, {}, "head.anchors")
    size = (model.input.width, model.input.height)
    kind = options.read("type") or "ssd"
    if kind == "ssd":
        anchors = _from_ssd_options(options, size)
    elif kind == "multiscale":
        first = options.integer("min_level", MULTISCALE_LEVELS[0])
        last = options.integer("max_level", MULTISCALE_LEVELS[-1])
        if not 0 <= first <= last:
            raise options.error("max_level", last, f"use a level from {max(first, 0)}")
        anchors = multiscale_anchors(
            size,
            range(first, last + 1),
            options.numbers("aspect_ratios", MULTISCALE_ASPECT_RATIOS),
            anchor_scale=options.number("anchor_scale", 4.0),
            scales_per_octave=max(1, options.integer("scales_per_octave", 2)),
        )
    elif kind == "file":
        anchors = _load(model, options)
    else:
        raise options.error("type", kind, "use one of ssd, multiscale, file")
    options.close()
    return anchors


def _from_ssd_options(options: HeadOptions, size: tuple[int, int]) -> Anchors:
    strides = options.numbers("strides", SSD_STRIDES)
    grids: GridSizes = grid_sizes(size, strides)
    given = options.read("feature_maps")
    if given is not None:
        pairs = isinstance(given, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(type(n) is int for n in pair)
            for pair in given
        )
        if not pairs or not given or min(min(pair) for pair in given) < 1:
            raise options.error("feature_maps", given, "use a list of [rows, columns]")
        grids = [(rows, columns) for rows, columns in given]
    scales = options.numbers("scales", np.linspace(*SSD_SCALE_RANGE, len(grids)).tolist())
    if len(scales) != len(grids):
        raise options.error("scales", list(scales), f"there are {len(grids)} feature maps")
    return ssd_anchors(
        size,
        grids,
        scales,
        options.numbers("aspect_ratios", SSD_ASPECT_RATIOS),
        interpolated_aspect_ratio=options.number("interpolated_aspect_ratio", 1.0),
        reduce_lowest_layer=options.flag("reduce_boxes_in_lowest_layer", True),
    )


def _load(model: ModelSpec, options: HeadOptions) -> Anchors:
    """Read anchors from a ``.npy`` file beside ``model.yaml``."""
    name = options.read("file")
    if not isinstance(name, str):
        raise options.error("file", name, "name a .npy file, relative to model.yaml")
    path = model.source.parent / Path(name)
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise options.error("file", name, f"{path} cannot be read: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "fiu":
        raise options.error("file", name, f"it holds {rows.dtype} {rows.shape}, not numbers (N, 4)")
    read = BoxReader.from_options(options, model.input, BoxFormat.CYCXHW, BoxUnits.NORMALIZED)
    edges = read(rows)
    low, high = edges[:, :2], edges[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)
