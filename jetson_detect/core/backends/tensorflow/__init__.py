"""TensorFlow: SavedModel, TF-TRT, Keras and frozen graphs.  Imported only when one is loaded."""

from jetson_detect.core.backends.tensorflow.backend import TensorflowBackend

__all__ = ["TensorflowBackend"]
