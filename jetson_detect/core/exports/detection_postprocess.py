"""The operation that TensorFlow Lite has for the end of an SSD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.exports.errors import ExportError

if TYPE_CHECKING:
    from jetson_detect.core.exports.frozen_network import FrozenNetwork

OPERATION = "TFLite_Detection_PostProcess"


@dataclass(frozen=True, eq=False)
class DetectionPostprocess:
    """Decodes boxes by anchors and suppresses, inside of a TFLite file.

    It replaces all outputs of the network by ``detection_boxes`` (1, M, 4), y1, x1, y2, x2 from 0
    to 1, ``detection_classes`` and ``detection_scores`` (1, M), and ``num_detections`` (1,), for
    the head ``tflite_detection_postprocess``.  Sizes and attributes are those that the TensorFlow
    Object Detection API gives the operation (``export_tflite_graph_lib_tf2.py``).
    """

    boxes: str
    """The output (1, N, 4): ty, tx, th, tw."""
    scores: str
    """The output (1, N, C), or (1, N, C + 1) with the background first; after the activation."""
    anchors: NDArray[np.float32]
    """(N, 4) of centre y, centre x, height, width; from 0 to 1."""
    classes: int
    """C."""
    scale_factors: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    """Of ty, tx, th and tw."""
    max_detections: int = 100
    """M."""
    score_threshold: float = 0.01
    iou_threshold: float = 0.6

    def __str__(self) -> str:
        return (
            f"'{self.boxes}' and '{self.scores}' end in {OPERATION}: at most "
            f"{self.max_detections} detections, score {self.score_threshold}, "
            f"IoU {self.iou_threshold}"
        )

    def bind(self, tf: Any, network: FrozenNetwork) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Return what makes the outputs of a network's.

        Raises
        ------
        ExportError
            If the network lacks an output, or it does not fit the anchors.

        """
        shapes = {info.name: info.shape for info in network.outputs}
        rows = len(self.anchors)
        for name, widths in (
            (self.boxes, (4,)),
            (self.scores, (self.classes, self.classes + 1)),
        ):
            if shapes.get(name) not in [(1, rows, width) for width in widths]:
                raise ExportError(
                    f"{network.source.path}: {OPERATION}: output '{name}' is "
                    f"{shapes.get(name, 'not there')}, but {rows} anchors and {self.classes} "
                    f"classes need (1, {rows}, {' or '.join(map(str, widths))}); "
                    f"the outputs are {shapes}"
                )
        anchors = np.ascontiguousarray(self.anchors, np.float32)

        def placeholder(boxes: Any, scores: Any, anchors: Any) -> Any:
            # What it returns is never computed: the converter puts the operation in its place.
            empty = tf.zeros([1, self.max_detections])
            return tf.zeros([1, self.max_detections, 4]), empty, empty + 1.0, tf.zeros([1])

        operation = tf.function(placeholder, experimental_implements=self._attributes())

        def then(outputs: dict[str, Any]) -> dict[str, Any]:
            found = operation(outputs[self.boxes], outputs[self.scores], tf.constant(anchors))
            names = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
            return dict(zip(names, found))

        return then

    def _attributes(self) -> str:
        values = {
            "max_detections": f"i: {self.max_detections}",
            "max_classes_per_detection": "i: 1",
            "use_regular_nms": "b: false",
            "nms_score_threshold": f"f: {self.score_threshold}",
            "nms_iou_threshold": f"f: {self.iou_threshold}",
            "num_classes": f"i: {self.classes}",
            **{f"{axis}_scale": f"f: {by}" for axis, by in zip("yxhw", self.scale_factors)},
        }
        attributes = " ".join(
            f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in values.items()
        )
        return f'name: "{OPERATION}" {attributes}'
