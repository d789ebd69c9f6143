"""Work on ONNX graphs: cleaned, rid of their suppression, with FP16 or INT8 written in."""

from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.float16 import Float16Model, bake_float16
from jetson_detect.core.onnx_graphs.inputs import FloatInputs, float_inputs, reads_bytes_uncast
from jetson_detect.core.onnx_graphs.int8 import (
    Calibration,
    Int8Options,
    QuantizedModel,
    quantize_int8,
)
from jetson_detect.core.onnx_graphs.nms import NmsMode, NmsOptions, NmsResult, treat_nms
from jetson_detect.core.onnx_graphs.tidying import tidy
from jetson_detect.core.onnx_graphs.upsampling import RestoredUpsampling, restore_upsampling

__all__ = [
    "Calibration",
    "Float16Model",
    "FloatInputs",
    "Int8Options",
    "NmsMode",
    "NmsOptions",
    "NmsResult",
    "OnnxGraphError",
    "QuantizedModel",
    "RestoredUpsampling",
    "bake_float16",
    "float_inputs",
    "quantize_int8",
    "reads_bytes_uncast",
    "restore_upsampling",
    "tidy",
    "treat_nms",
]
