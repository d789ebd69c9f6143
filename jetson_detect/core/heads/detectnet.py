"""NVIDIA DetectNet_v2, from the TAO toolkit: coverage of each cell and a box for each class.

Conventions: the parser for ``conv2d_cov``/``conv2d_bbox`` in DeepStream's
``nvdsinfer_custombboxparser.cpp`` and the Triton client ``tao_triton`` (``DetectNetPostprocessor``,
https://github.com/NVIDIA-AI-IOT/tao-toolkit-triton-apps): a cell's centre is
``index * stride + offset`` pixels, its four numbers are the distances to the box's left, top, right
and bottom edge, divided by ``bbox_norm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import map_pattern, require_parts, require_shape
from jetson_detect.core.model import Layout, ModelSpec
from jetson_detect.core.selection import Candidates, Selection, class_mask

BBOX_NORM = 35.0
CENTER_OFFSET = 0.5


class DetectNetHead:
    """``coverage`` (1, C, h, w) after the sigmoid and ``boxes`` (1, 4 * C, h, w).

    Channels last if the input has.  A cell has a box for each class, so that every object has one
    hypothesis.
    """

    suppressed = False

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check the outputs.

        Raises
        ------
        ModelError
            Naming the output or option and what does not fit.

        """
        options = HeadOptions(model)
        self._norm = np.float32(options.number("bbox_norm", BBOX_NORM))
        self._offset = np.float32(options.number("center_offset", CENTER_OFFSET))
        options.close()
        require_parts(model, outputs, ("coverage", "boxes"))
        labels = len(model.labels)
        for part, channels in (("coverage", labels), ("boxes", 4 * labels)):
            pattern = map_pattern(model, channels)
            require_shape(model, part, outputs[part], [pattern], " for these labels")
        self._channels_last = model.input.layout is Layout.NHWC
        self._input_size = np.array([model.input.width, model.input.height], np.float32)

    def decode(self, outputs: Mapping[str, NDArray[Any]], selection: Selection) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.Head.decode`."""
        coverage, edges = outputs["coverage"][0], outputs["boxes"][0]
        if self._channels_last:
            coverage, edges = coverage.transpose(2, 0, 1), edges.transpose(2, 0, 1)
        classes, grid_height, grid_width = coverage.shape
        wanted = (coverage >= selection.score_threshold) & (coverage > 0)
        mask = class_mask(classes, selection)
        if mask is not None:
            wanted &= mask[:, None, None]
        class_ids, rows, columns = np.nonzero(wanted)
        scores = coverage[class_ids, rows, columns].astype(np.float32)
        first = 4 * class_ids[:, None] + np.arange(4)
        distances = edges[first, rows[:, None], columns[:, None]].astype(np.float32) * self._norm
        # DeepStream rounds the stride up to whole pixels.
        stride = np.ceil(self._input_size / np.array([grid_width, grid_height], np.float32))
        centers = np.stack([columns, rows], axis=1).astype(np.float32) * stride + self._offset
        boxes = np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1)
        return Candidates(boxes, scores[:, None], class_ids[:, None].astype(np.int32))
