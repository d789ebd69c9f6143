"""CenterNet: objects as peaks of a heatmap.

Zhou, Wang, Krähenbühl: Objects as Points, 2019, section 4 ("From points to bounding boxes"):
a peak is a cell that is no less than its eight neighbours; the box's centre is the cell plus a
predicted offset, its size is predicted at the same cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import map_pattern, require_parts, require_shape
from jetson_detect.core.model import Layout, ModelSpec
from jetson_detect.core.selection import Candidates, Selection, class_mask, rank_hypotheses

_NEIGHBOURHOOD = np.ones((3, 3), np.uint8)


class SizeEncoding(str, Enum):
    """How the network writes sizes."""

    LINEAR = "linear"
    LOG = "log"
    """The natural logarithm."""


class CenterNetHead:
    """Three outputs: ``heatmap`` (after the sigmoid), ``offset`` (x, y) and ``size`` (w, h).

    All in cells, the size as its natural logarithm if ``size_encoding`` is ``log``.  The width of
    a cell follows from the sizes of input and heatmap.
    """

    suppressed = False

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check that the outputs are those of a CenterNet for this model.

        Raises
        ------
        ModelError
            Naming the output and what does not fit.

        """
        options = HeadOptions(model)
        encoding = options.choice("size_encoding", SizeEncoding.LINEAR)
        options.close()
        expected = {"heatmap": len(model.labels), "offset": 2, "size": 2}
        require_parts(model, outputs, expected)
        self._channels_last = model.input.layout is Layout.NHWC
        self._log_size = encoding is SizeEncoding.LOG
        grids = set()
        for part, channels in expected.items():
            reason = ", one channel for each label" if part == "heatmap" else ""
            pattern = map_pattern(model, channels)
            require_shape(model, part, outputs[part], [pattern], reason)
            shape = outputs[part].shape
            grids.add(shape[1:3] if self._channels_last else shape[2:4])
        if len(grids) != 1:
            raise model.error(
                "head.outputs", f"the grids differ: {grids}", "all three must have the same h and w"
            )
        self._input_size = np.array([model.input.width, model.input.height], np.float32)

    def decode(self, outputs: Mapping[str, NDArray[Any]], selection: Selection) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.Head.decode`."""
        heatmap, offset, size = (
            outputs[part][0] if self._channels_last else outputs[part][0].transpose(1, 2, 0)
            for part in ("heatmap", "offset", "size")
        )
        mask = class_mask(heatmap.shape[2], selection)
        if mask is not None:
            heatmap = heatmap * mask
        # Channels first: the maxima of many short rows take ten times as long.
        best = np.ascontiguousarray(heatmap.transpose(2, 0, 1), np.float32).max(axis=0)
        peaks = (best >= cv2.dilate(best, _NEIGHBOURHOOD)) & (best >= selection.score_threshold)
        rows, columns = np.nonzero(peaks & (best > 0))
        scores, class_ids = rank_hypotheses(
            heatmap[rows, columns].astype(np.float32, copy=False), selection
        )
        cell = self._input_size / np.array(best.shape[::-1], np.float32)
        sizes = size[rows, columns].astype(np.float32)
        if self._log_size:
            sizes = np.exp(sizes)
        centers = np.stack([columns, rows], axis=1) + offset[rows, columns]
        centers, half = centers * cell, sizes * cell / 2
        boxes = np.concatenate([centers - half, centers + half], axis=1)
        return Candidates(boxes.astype(np.float32, copy=False), scores, class_ids)
