"""DETR and its family: one box and class scores for each query, without suppression.

Carion et al.: End-to-End Object Detection with Transformers, 2020: softmax with "no object" as the
last class.  Deformable DETR, RT-DETR, D-FINE and RF-DETR: a sigmoid for each class; their own
postprocessing (``rtdetr_postprocessor.py``, https://github.com/lyuwenyu/RT-DETR;
``post_process_object_detection``, https://github.com/huggingface/transformers) takes the best of
all query and class pairs, so that one query may give several objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.boxes import BoxFormat, BoxReader, BoxUnits
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import as_table, require_parts, require_shape, require_table
from jetson_detect.core.heads.scores import Activation, Background, find_survivors
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection


class DetrHead:
    """``logits`` (1, Q, C) or (1, Q, C + 1), and ``boxes`` (1, Q, 4): cx, cy, w, h from 0 to 1.

    Or both in one: ``predictions`` (1, Q, 4 + C), as Ultralytics exports RT-DETR, with the sigmoid
    applied.
    """

    suppressed = True

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check the outputs.

        Raises
        ------
        ModelError
            Naming the output or option and what does not fit.

        """
        labels = len(model.labels)
        options = HeadOptions(model)
        self._columns: int | None = None
        has_no_object = False
        if "predictions" in outputs:
            require_parts(model, outputs, ("predictions",))
            self._columns = 4 + labels
            require_table(
                model,
                "predictions",
                outputs["predictions"],
                self._columns,
                "a box and a score for each label",
            )
            usual = Activation.NONE
        else:
            require_parts(model, outputs, ("logits", "boxes"))
            require_shape(model, "boxes", outputs["boxes"], [(1, "Q", 4)])
            logits = outputs["logits"]
            require_shape(
                model,
                "logits",
                logits,
                [(1, "Q", labels), (1, "Q", labels + 1)],
                ", a score for each label and one for no object if there is",
            )
            has_no_object = len(logits.shape) == 3 and logits.shape[2] == labels + 1
            usual = Activation.SOFTMAX if has_no_object else Activation.SIGMOID
        self._activation = options.choice("activation", usual)
        self._background = Background.LAST if has_no_object else Background.NONE
        self._pairs = options.flag("several_per_query", self._activation is not Activation.SOFTMAX)
        self._read_boxes = BoxReader.from_options(
            options, model.input, BoxFormat.CXCYWH, BoxUnits.NORMALIZED
        )
        options.close()

    def decode(self, outputs: Mapping[str, NDArray[Any]], selection: Selection) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.Head.decode`."""
        if self._columns is None:
            logits, boxes = outputs["logits"][0], outputs["boxes"][0]
        else:
            table = as_table(outputs["predictions"], self._columns)
            logits, boxes = table[:, 4:], table[:, :4]
        # With several hypotheses for an object, a query is one object with all its classes.
        pairs = self._pairs and selection.hypotheses == 1
        wanted = replace(selection, hypotheses=logits.shape[1]) if pairs else selection
        found = find_survivors(logits, wanted, self._activation, self._background)
        (index,) = found.where
        scores, class_ids = found.scores, found.class_ids
        if pairs:
            query, rank = np.nonzero(scores)
            index = index[query]
            scores, class_ids = scores[query, rank, None], class_ids[query, rank, None]
        return Candidates(self._read_boxes(boxes[index]), scores, class_ids)
