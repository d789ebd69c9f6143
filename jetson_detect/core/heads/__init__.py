"""Decoders: one class for each kind of network output, chosen by ``head.type`` of model.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.base import Head
from jetson_detect.core.heads.centernet import CenterNetHead
from jetson_detect.core.heads.detection_list import (
    EfficientNmsHead,
    RtDetrPostprocessedHead,
    TfliteDetectionPostprocessHead,
    TfObjectDetectionHead,
)
from jetson_detect.core.heads.detectnet import DetectNetHead
from jetson_detect.core.heads.detr import DetrHead
from jetson_detect.core.heads.efficientdet import EfficientDetHead
from jetson_detect.core.heads.ssd import SsdHead
from jetson_detect.core.heads.yolo_end_to_end import YoloEndToEndHead
from jetson_detect.core.heads.yolo_obb import YoloObbHead
from jetson_detect.core.heads.yolov5 import YoloV5Head
from jetson_detect.core.heads.yolov8 import YoloV8Head
from jetson_detect.core.heads.yolox import YoloXHead
from jetson_detect.core.model import ModelSpec

__all__ = ["HEADS", "Head", "make_head"]

HEADS: dict[str, Callable[[ModelSpec, Mapping[str, TensorInfo]], Head]] = {
    "centernet": CenterNetHead,
    "detectnet": DetectNetHead,
    "detr": DetrHead,
    "efficient_nms": EfficientNmsHead,
    "efficientdet": EfficientDetHead,
    "rt_detr_postprocessed": RtDetrPostprocessedHead,
    "ssd": SsdHead,
    "tf_object_detection": TfObjectDetectionHead,
    "tflite_detection_postprocess": TfliteDetectionPostprocessHead,
    "yolo_end_to_end": YoloEndToEndHead,
    "yolo_obb": YoloObbHead,
    "yolov5": YoloV5Head,
    "yolov8": YoloV8Head,
    "yolox": YoloXHead,
}
"""By ``head.type``."""


def make_head(model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> Head:
    """Make the decoder that ``model.yaml`` names.

    Parameters
    ----------
    model:
        The model; its head's type is none to be proposed any more.
    outputs:
        The network's outputs by their part (the keys of ``head.outputs``).

    Raises
    ------
    ModelError
        If the type is unknown, or the outputs do not fit it.

    """
    if model.head.type not in HEADS:
        raise model.error(
            "head.type", f"'{model.head.type}' is not known", f"use one of {', '.join(HEADS)}"
        )
    return HEADS[model.head.type](model, outputs)
