"""YOLOv10 and YOLO26: end-to-end networks, whose rows are detections already.

Conventions: ``ultralytics/nn/modules/head.py: Detect.postprocess`` and, with an angle,
``OBB.postprocess`` (https://github.com/ultralytics/ultralytics).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.boxes import BoxFormat, BoxReader, BoxUnits
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import require_parts, require_shape
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection

_UPRIGHT, _ORIENTED = 6, 7


class YoloEndToEndHead:
    """``predictions`` (1, N, 6): x1, y1, x2, y2, score, class; or (1, N, 7) with an angle.

    With an angle, in radians and last, a row starts with centre x, y, width, height.
    """

    suppressed = True

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
        self._read_boxes = {
            _UPRIGHT: BoxReader(model.input, BoxFormat.XYXY, units),
            _ORIENTED: BoxReader(model.input, BoxFormat.CXCYWH, units),
        }
        require_parts(model, outputs, ("predictions",))
        require_shape(
            model,
            "predictions",
            outputs["predictions"],
            [(1, "N", _UPRIGHT), (1, "N", _ORIENTED)],
            ": a box, its score, its class, and its angle if it has one",
        )

    def decode(self, outputs: Mapping[str, NDArray[Any]], selection: Selection) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.Head.decode`."""
        rows: NDArray[Any] = outputs["predictions"][0]
        wanted = (rows[:, 4] >= selection.score_threshold) & (rows[:, 4] > 0)
        rows = rows[wanted].astype(np.float32, copy=False)
        class_ids = np.rint(rows[:, 5]).astype(np.int32)
        if selection.class_ids is not None:
            kept = np.isin(class_ids, list(selection.class_ids))
            rows, class_ids = rows[kept], class_ids[kept]
        return Candidates(
            self._read_boxes[rows.shape[1]](rows[:, :4]),
            rows[:, 4:5],
            class_ids[:, None],
            rows[:, 6] if rows.shape[1] == _ORIENTED else None,
        )
