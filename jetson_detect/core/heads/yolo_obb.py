"""YOLO with oriented boxes (YOLOv8-OBB, YOLO11-OBB) as Ultralytics exports it.

Conventions: ``ultralytics/nn/modules/head.py: OBB`` appends the angle, in radians, behind the
class scores; ``ultralytics/utils/ops.py: xywhr2xyxyxyxy`` turns the width's edge to
``(cos angle, sin angle)`` in pixels, so x towards y
(https://github.com/ultralytics/ultralytics).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.boxes import BoxFormat, BoxReader, BoxUnits
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import as_table, require_parts, require_table
from jetson_detect.core.heads.scores import find_survivors
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection


class YoloObbHead:
    """``predictions`` (1, 4 + C + 1, N) or (1, N, 4 + C + 1): the last is the angle.

    Before it centre x, y, width, height and class scores; units as for YOLOv8.
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
        units = options.choice("box_units", BoxUnits.PIXELS)
        options.close()
        self._read_boxes = BoxReader(model.input, BoxFormat.CXCYWH, units)
        require_parts(model, outputs, ("predictions",))
        self._columns = 4 + len(model.labels) + 1
        require_table(
            model,
            "predictions",
            outputs["predictions"],
            self._columns,
            "a box, a score for each label and the angle",
        )

    @property
    def sieve(self) -> Sieve:
        """See :attr:`jetson_detect.core.heads.base.SievedHead.sieve`."""
        return Sieve("predictions", self._columns, 4, self._columns - 5)

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.SievedHead.decode`."""
        table = as_table(outputs["predictions"], self._columns)
        found = find_survivors(table[:, 4:-1], selection, among=among)
        (index,) = found.where
        return Candidates(
            self._read_boxes(table[index, :4]),
            found.scores,
            found.class_ids,
            table[index, -1].astype(np.float32),
        )
