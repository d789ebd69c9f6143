"""Networks from one format to another: ONNX, TFLite, frozen graphs, TF-TRT.

TensorFlow, tf2onnx and onnx are imported when they are used.
"""

from jetson_detect.core.exports.detection_postprocess import DetectionPostprocess
from jetson_detect.core.exports.errors import ExportError
from jetson_detect.core.exports.frozen_graph_file import (
    write_frozen_checkpoint,
    write_frozen_graph,
)
from jetson_detect.core.exports.onnx_file import OnnxExportOptions, write_onnx
from jetson_detect.core.exports.report import ExportReport
from jetson_detect.core.exports.tf_trt import TfTrtOptions, write_tf_trt
from jetson_detect.core.exports.tflite_file import TfliteFlavour, write_tflite

__all__ = [
    "DetectionPostprocess",
    "ExportError",
    "ExportReport",
    "OnnxExportOptions",
    "TfTrtOptions",
    "TfliteFlavour",
    "write_frozen_checkpoint",
    "write_frozen_graph",
    "write_onnx",
    "write_tf_trt",
    "write_tflite",
]
