"""YOLOv8 to YOLO12 as Ultralytics exports them: boxes and class scores, no objectness.

Conventions: ``ultralytics/nn/modules/head.py: Detect`` and ``ultralytics/utils/nms.py``
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


class YoloV8Head:
    """``predictions`` (1, 4 + C, N) or (1, N, 4 + C): centre x, y, width, height, class scores.

    In pixels, or from 0 to 1 (``box_units: normalized``) as in Ultralytics' TensorFlow and
    TensorFlow Lite files.
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
        self._read_boxes = BoxReader.from_options(
            options, model.input, BoxFormat.CXCYWH, BoxUnits.PIXELS
        )
        options.close()
        require_parts(model, outputs, ("predictions",))
        self._columns = 4 + len(model.labels)
        require_table(
            model,
            "predictions",
            outputs["predictions"],
            self._columns,
            "a box and a score for each label",
        )

    @property
    def sieve(self) -> Sieve:
        """See :attr:`jetson_detect.core.heads.base.SievedHead.sieve`."""
        return Sieve("predictions", self._columns, 4, self._columns - 4)

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.SievedHead.decode`."""
        table = as_table(outputs["predictions"], self._columns)
        found = find_survivors(table[:, 4:], selection, among=among)
        boxes = self._read_boxes(table[found.where[0], :4])
        return Candidates(boxes, found.scores, found.class_ids)
