"""TensorRT plans on an NVIDIA GPU."""

from jetson_detect.core.backends.tensorrt.backend import TensorrtBackend

__all__ = ["TensorrtBackend"]
