"""The formats that a model can be exported to."""

from __future__ import annotations

from enum import Enum

from jetson_detect.core.engines.content_hash import SOURCE_FORMATS
from jetson_detect.core.model import Format, Precision


class ExportTarget(str, Enum):
    """A format with its numbers."""

    ONNX = "onnx"
    FROZEN_GRAPH = "frozen_graph"
    TFLITE_FP32 = "tflite_fp32"
    TFLITE_FP16 = "tflite_fp16"
    TFLITE_DYNAMIC = "tflite_dynamic"
    TFLITE_INT8 = "tflite_int8"
    TF_TRT_FP32 = "tf_trt_fp32"
    TF_TRT_FP16 = "tf_trt_fp16"
    TF_TRT_INT8 = "tf_trt_int8"

    @property
    def file_format(self) -> Format:
        """The file's format."""
        kind, _, _ = self.value.rpartition("_")
        return Format(kind if kind in ("tflite", "tf_trt") else self.value)

    @property
    def precision(self) -> Precision:
        """The precision that the file's entry in model.yaml gets, and that it is judged by."""
        numbers = self.value.rpartition("_")[2]
        if numbers == "dynamic":
            return Precision.INT8
        known = {each.value: each for each in Precision}
        return known.get(numbers, Precision.FP32)

    @property
    def sources(self) -> tuple[Format, ...]:
        """What it can be written from, best first."""
        if self is ExportTarget.ONNX:
            return SOURCE_FORMATS
        return tuple(each for each in SOURCE_FORMATS if each is not Format.ONNX)

    @property
    def is_calibrated(self) -> bool:
        """Whether ranges are read from frames."""
        return self in (ExportTarget.TFLITE_INT8, ExportTarget.TF_TRT_INT8)

    def file_name(self, model: str) -> str:
        """Return the name of the file, or of the folder."""
        stem = model.replace("/", "_")
        if self is ExportTarget.ONNX:
            return f"{stem}.onnx"
        if self is ExportTarget.FROZEN_GRAPH:
            return f"{stem}.pb"
        if self.file_format is Format.TFLITE:
            return f"{stem}_{self.value.removeprefix('tflite_')}.tflite"
        return f"{stem}_{self.value}"
