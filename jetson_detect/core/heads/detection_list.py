"""Networks that end in their own suppression: lists of boxes, scores and classes.

They differ in how boxes are written, where classes start to count and what outputs are called:

- TensorFlow Object Detection API, SavedModels and frozen graphs: ymin, xmin, ymax, xmax from 0 to
  1, classes from 1 (``research/object_detection/exporter_lib_v2.py``,
  https://github.com/tensorflow/models/tree/master/research/object_detection);
- the TensorFlow Lite operation ``TFLite_Detection_PostProcess``: the same with classes from 0
  (``tensorflow/lite/kernels/detection_postprocess.cc``);
- the TensorRT plugins EfficientNMS and BatchedNMS: by default x1, y1, x2, y2 in pixels, but as the
  network that feeds them has it
  (https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin);
- RT-DETR exported with its postprocessor: labels, boxes, scores, x1, y1, x2, y2 in pixels of
  ``orig_target_sizes`` (``tools/export_onnx.py``, https://github.com/lyuwenyu/RT-DETR).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.boxes import BoxFormat, BoxReader, BoxUnits
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import require_parts, require_shape
from jetson_detect.core.model import ModelSpec
from jetson_detect.core.selection import Candidates, Selection, rank_hypotheses


class DetectionListHead:
    """``boxes`` (1, N, 4), ``scores`` and ``classes`` (1, N), and how many of them count.

    Where ``count`` is left out, all N count.  ``multiclass_scores`` (1, N, C), if there, gives
    further hypotheses; the list's own class stays the first.
    """

    suppressed = True
    counted: ClassVar[bool] = True
    """Whether the network gives a count."""
    class_offset: ClassVar[int] = 0
    """The network's number of the first label."""
    box_format: ClassVar[BoxFormat] = BoxFormat.XYXY
    box_units: ClassVar[BoxUnits] = BoxUnits.PIXELS

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check the outputs.

        Raises
        ------
        ModelError
            Naming the output and what does not fit.

        """
        options = HeadOptions(model)
        self._offset = options.integer("class_offset", self.class_offset)
        self._read_boxes = BoxReader.from_options(
            options, model.input, self.box_format, self.box_units
        )
        options.close()
        optional = ["count"] if self.counted else []
        require_parts(
            model, outputs, ("boxes", "scores", "classes"), (*optional, "multiclass_scores")
        )
        require_shape(model, "boxes", outputs["boxes"], [(1, "N", 4)])
        for part in ("scores", "classes"):
            require_shape(model, part, outputs[part], [(1, "N")])
        if "count" in outputs:
            require_shape(model, "count", outputs["count"], [(1,), (1, 1)])
        self._labels = len(model.labels)
        if "multiclass_scores" in outputs:
            require_shape(
                model,
                "multiclass_scores",
                outputs["multiclass_scores"],
                [(1, "N", self._labels), (1, "N", self._labels + 1)],
                ", a score for each label, after one for the background if there is",
            )

    def decode(self, outputs: Mapping[str, NDArray[Any]], selection: Selection) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.Head.decode`."""
        best = outputs["scores"].reshape(-1)
        count = outputs.get("count")
        if count is not None:
            best = best[: max(0, int(count.reshape(-1)[0]))]
        class_ids = outputs["classes"].reshape(-1)[: len(best)]
        # Float classes are whole numbers, but for the noise of half precision.
        class_ids = np.rint(class_ids).astype(np.int32) - np.int32(self._offset)
        wanted = (best >= selection.score_threshold) & (best > 0)
        if selection.class_ids is not None:
            wanted &= np.isin(class_ids, list(selection.class_ids))
        index = np.flatnonzero(wanted)
        scores, class_ids = best[index, None].astype(np.float32), class_ids[index, None]
        if selection.hypotheses > 1 and "multiclass_scores" in outputs:
            scores, class_ids = self._with_others(
                scores, class_ids, outputs["multiclass_scores"][0][index], selection
            )
        return Candidates(self._read_boxes(outputs["boxes"][0][index]), scores, class_ids)

    def _with_others(
        self,
        scores: NDArray[np.float32],
        class_ids: NDArray[np.int32],
        class_scores: NDArray[Any],
        selection: Selection,
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Rank the other classes behind the first."""
        others = class_scores[:, class_scores.shape[1] - self._labels :].astype(np.float32)
        if selection.class_ids is not None:
            unwanted = [index for index in range(self._labels) if index not in selection.class_ids]
            others[:, unwanted] = 0
        listed = np.flatnonzero((class_ids[:, 0] >= 0) & (class_ids[:, 0] < self._labels))
        others[listed, class_ids[listed, 0]] = 0
        # A box may be listed once for each of its classes: in the entry of a lesser one, the
        # better ones rank behind it.
        np.minimum(others, scores, out=others)
        ranked, ranked_ids = rank_hypotheses(
            others, replace(selection, hypotheses=selection.hypotheses - 1)
        )
        return (
            np.concatenate([scores, ranked], axis=1),
            np.concatenate([class_ids, ranked_ids], axis=1),
        )


class TfObjectDetectionHead(DetectionListHead):
    """What the TensorFlow Object Detection API exports."""

    class_offset = 1
    box_format = BoxFormat.YXYX
    box_units = BoxUnits.NORMALIZED


class TfliteDetectionPostprocessHead(DetectionListHead):
    """What the operation ``TFLite_Detection_PostProcess`` gives."""

    box_format = BoxFormat.YXYX
    box_units = BoxUnits.NORMALIZED


class EfficientNmsHead(DetectionListHead):
    """What TensorRT's plugins EfficientNMS and BatchedNMS give."""


class RtDetrPostprocessedHead(DetectionListHead):
    """RT-DETR with its postprocessor in the graph; it gives no count."""

    counted = False
