"""YOLOX: one box a cell of three grids.

Ge et al.: YOLOX, 2021; conventions: ``yolox/utils/demo_utils.py: demo_postprocess`` and
``yolox/models/yolo_head.py`` (https://github.com/Megvii-BaseDetection/YOLOX).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.anchors import grid_sizes
from jetson_detect.core.heads.boxes import corners, exp_sizes
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import as_table, require_parts, require_table, shape_error
from jetson_detect.core.heads.scores import find_survivors
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection

STRIDES = (8.0, 16.0, 32.0)


class YoloXHead:
    """``predictions`` (1, N, 5 + C): centre, size, objectness, class scores of N cells.

    The centre is relative to its cell's corner and the size a logarithm, both in cells; with
    ``decoded: true`` (exported with ``--decode_in_inference``) both are in pixels.
    """

    suppressed = False

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check the output.

        Raises
        ------
        ModelError
            Naming the output or option and what does not fit.

        """
        options = HeadOptions(model)
        strides = options.numbers("strides", STRIDES)
        self._decoded = options.flag("decoded", False)
        options.close()
        require_parts(model, outputs, ("predictions",))
        info = outputs["predictions"]
        self._columns = 5 + len(model.labels)
        require_table(
            model,
            "predictions",
            info,
            self._columns,
            "a box, the objectness and a score for each label",
        )
        self._cells, self._stride = _cells((model.input.width, model.input.height), strides)
        cells = len(self._cells)
        if not self._decoded and info.shape and not {None, cells} & set(info.shape[1:]):
            raise shape_error(
                model,
                "predictions",
                info,
                f"an input of {model.input.width}x{model.input.height} has {cells} cells: "
                "correct input or head.strides",
            )

    @property
    def sieve(self) -> Sieve:
        """See :attr:`jetson_detect.core.heads.base.SievedHead.sieve`."""
        # No class scores more than the object itself.
        return Sieve("predictions", self._columns, 4, 1)

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.SievedHead.decode`."""
        table = as_table(outputs["predictions"], self._columns)
        found = find_survivors(table[:, 5:], selection, objectness=table[:, 4], among=among)
        (index,) = found.where
        rows = table[index, :4].astype(np.float32, copy=False)
        centers, sizes = rows[:, :2], rows[:, 2:]
        if not self._decoded:
            stride = self._stride[index]
            centers, sizes = (centers + self._cells[index]) * stride, exp_sizes(sizes) * stride
        return Candidates(corners(centers, sizes), found.scores, found.class_ids)


def _cells(
    input_size: tuple[int, int], strides: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row, (N, 2), and stride, (N, 1), of the cells of all grids."""
    cells, widths = [], []
    for stride, grid in zip(strides, grid_sizes(input_size, strides)):
        rows, columns = np.indices(grid, np.float32)
        cells.append(np.stack([columns, rows], axis=2).reshape(-1, 2))
        widths.append(np.full((rows.size, 1), stride, np.float32))
    return np.concatenate(cells), np.concatenate(widths)
