"""YOLOv5 and YOLOv7: boxes with objectness and class scores, or the raw grids of each level.

Conventions: ``models/yolo.py: Detect`` (https://github.com/ultralytics/yolov5,
https://github.com/WongKinYiu/yolov7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.boxes import BoxFormat, BoxReader, BoxUnits, corners
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import as_table, require_parts, require_shape, require_table
from jetson_detect.core.heads.scores import Activation, find_survivors, sigmoid
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection, concatenate

LEVELS = ("p3", "p4", "p5", "p6")
"""Parts of raw grids; level n has a stride of 2**n.  Most networks have three."""


class YoloV5Head:
    """``predictions`` (1, N, 5 + C): centre x, y, width, height, objectness, class scores.

    Or, exported without their decoding, ``p3``, ``p4``, ``p5`` and perhaps ``p6``, each
    (1, A, h, w, 5 + C) of logits; then ``anchors`` gives the widths and heights of each level's
    A anchors in pixels.
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
        self._columns = 5 + len(model.labels)
        self._anchors: dict[str, NDArray[np.float32]] = {}
        self._input_size = np.array([model.input.width, model.input.height], np.float32)
        meaning = "a box, the objectness and a score for each label"
        if set(outputs) & set(LEVELS):
            require_parts(model, outputs, LEVELS[:3], LEVELS[3:])
            self._anchors = _read_anchors(model, options, outputs)
            for part, info in outputs.items():
                pattern = (1, len(self._anchors[part]), "h", "w", self._columns)
                require_shape(model, part, info, [pattern], f": for each anchor and cell {meaning}")
        else:
            require_parts(model, outputs, ("predictions",))
            self._read_boxes = BoxReader.from_options(
                options, model.input, BoxFormat.CXCYWH, BoxUnits.PIXELS
            )
            require_table(model, "predictions", outputs["predictions"], self._columns, meaning)
        options.close()

    @property
    def sieve(self) -> Sieve | None:
        """See :attr:`jetson_detect.core.heads.base.SievedHead.sieve`."""
        # No class scores more than the object itself.
        return None if self._anchors else Sieve("predictions", self._columns, 4, 1)

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.SievedHead.decode`."""
        if self._anchors:
            return concatenate(
                [
                    self._decode_grid(outputs[part][0], anchors, selection)
                    for part, anchors in self._anchors.items()
                ]
            )
        table = as_table(outputs["predictions"], self._columns)
        found = find_survivors(table[:, 5:], selection, objectness=table[:, 4], among=among)
        boxes = self._read_boxes(table[found.where[0], :4])
        return Candidates(boxes, found.scores, found.class_ids)

    def _decode_grid(
        self, grid: NDArray[Any], anchors: NDArray[np.float32], selection: Selection
    ) -> Candidates:
        """Decode a level, (A, h, w, 5 + C)."""
        found = find_survivors(
            grid[..., 5:], selection, Activation.SIGMOID, objectness=grid[..., 4]
        )
        shape, rows, columns = found.where
        box = sigmoid(grid[shape, rows, columns, :4].astype(np.float32)) * np.float32(2)
        cell = np.stack([columns, rows], axis=1).astype(np.float32)
        stride = self._input_size / np.array([grid.shape[2], grid.shape[1]], np.float32)
        centers = (box[:, :2] - np.float32(0.5) + cell) * stride
        sizes = np.square(box[:, 2:]) * anchors[shape]
        return Candidates(corners(centers, sizes), found.scores, found.class_ids)


def _read_anchors(
    model: ModelSpec, options: HeadOptions, parts: Mapping[str, TensorInfo]
) -> dict[str, NDArray[np.float32]]:
    section = options.section("anchors")
    if section is None:
        raise model.error(
            "head",
            f"outputs {', '.join(sorted(parts))} are raw grids, but there are no anchors",
            "add anchors: {p3: [width, height, width, height, ...], ...} from the training's "
            "configuration, or export with the grids decoded",
        )
    anchors = {}
    for part in sorted(parts):
        numbers = section.numbers(part, ())
        if not numbers or len(numbers) % 2:
            raise section.error(part, list(numbers), "give a width and a height for each anchor")
        anchors[part] = np.array(numbers, np.float32).reshape(-1, 2)
    section.close()
    return anchors
